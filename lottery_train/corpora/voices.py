"""Voices of the embedded corpus: espeak-ng accents and variants, no variant in two splits."""

ACCENTS = (
    "en-us", "en", "en-029", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp", "en-us-nyc",
)  # fmt: skip

# Families (steph, steph2, steph3) stay together, so that held-out voices are new ones. Left out: robots,
# whispers, and voices that clip or that change speed so far that words overlap.
# fmt: off
VARIANTS = {
    "train": (
        "Alex", "Alicia", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Jacky", "Lee",
        "Mario", "Michael", "Mike", "Reed", "Storm", "adam", "announcer", "benjamin", "caleb", "david",
        "ed", "edward", "edward2", "f1", "f3", "grandma", "grandpa", "gustave", "ian", "iven3", "iven4",
        "john", "kaukovalta", "klatt", "klatt3", "klatt4", "klatt6", "m1", "m2", "m3", "m6", "m7", "max",
        "michel", "miguel", "norbert", "pablo", "paul", "rob", "robert", "sandro", "shelby", "steph",
        "steph2", "victor", "zac",
    ),
    "dev": ("Nguyen", "f4", "m4", "m8", "marcelo", "quincy"),
    "test": ("Andy", "aunty", "belinda", "boris", "f2", "f5", "linda", "m5", "travis"),
}
# fmt: on


def draw_voice(rng, *, split, accents=ACCENTS):
    """Return a voice of a split as espeak-ng names it: accent+variant."""
    variants = VARIANTS[split]
    return f"{accents[rng.integers(len(accents))]}+{variants[rng.integers(len(variants))]}"
