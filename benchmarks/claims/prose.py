"""What the page says around its numbers: titles, words, notes on each claim, the method."""

TITLES = {
    "C1": "Tickets match the dense model",
    "C2": "The schedule matters",
    "C3": "Structured tickets hold up",
    "C4": "Tickets beat dense in noise",
    "C5": "Tickets transfer",
    "cost": "The search is affordable",
}
WORDS = """\
A ticket is a model most of whose weights were set to zero while the others trained on; its density is the share that \
is left. Dense is the same model with all its weights. WER, the word error rate, is the number of word errors for each \
word said: lower is better."""
READING = """\
WER of the ticket, WER of what it is held against, and the difference of the two in percentage points with its 95 % \
interval: below 0 the ticket is better. A ticket "matches" where the interval ends at most 1 point above 0, and \
"beats" where all of it lies below 0; undecided says that these recordings are too few to tell. Cost is all training \
up to the ticket, in multiples of one dense training."""
METHOD = """\
All error rates are of test splits, recognised chunk by chunk (640 ms) as a stream would be, greedily, without a \
language model. "minus" is the difference in WER, in percentage points, with a paired 95 % bootstrap interval over \
utterances; several seeds are pooled. What is chosen (checkpoints, the best ticket, the cheapest search) is chosen \
on dev. The extreme \
ticket is the sparsest whose interval against dense ends at most 1 point above it, on test, as the claim defines it: \
one of seven is chosen by the very numbers that then speak for it, so that its own statement flatters it. The one that \
dev chooses by the same rule stands beside it, judged on test, which did not choose it.

"Matches" holds where the interval ends at most 1 point above 0, fails where all of it lies above 0 and it does not \
end there, and is undecided otherwise. "Beats" holds where all of the interval lies below 0, fails where all of it \
lies above, and is undecided otherwise: not shown, which is not the same as shown to be false. Each statement is \
judged alone: where nothing differs one in forty "beats" by chance, and here are dozens.

The interval speaks of these very models on other utterances. The same training with another seed makes another model; \
how far that one differs is not in the interval. Several seeds, where named, are averaged, each beside its \
own dense model; a difference, and the two rates it stands between, are of the seeds that finished both. But for \
C1, a section is of the seeds that finished all of it: what stands side by side should not differ by the seed, too.

Rounds are fewer and larger than the paper's (36 % a round, 7 rounds to 4.4 %). But for IMP, iterative searches rewind \
the learning rate instead of the weights: 12 epochs a level after 70 dense ones."""
NOTES = {
    "C1": "The Conformer is searched twice: with short levels, as the other backbones are, and by IMP, with a whole "
    "training a level, as in the paper; each stands beside a dense model of its own. The transducer's encoder "
    "starts from the Conformer's dense ticket and trains 40 epochs (from drawn weights it was still silent after "
    "20); controls that draw their weights are left out beside it. Costs are in multiples of each backbone's own "
    "dense training; the one that the transducer starts from is not counted. A ticket has had more epochs than "
    "dense, dense-small and random-ticket, which train once; dense-longer and random-pruning had as many as the "
    "ticket and all levels before it.",
    "C2": "All schedules end at the same density after as many rounds; their rates were solved for that. Differences "
    "from the constant rate stand where non-zeros are equal to 5 %.",
    "C3": "Blocks keep as many weights as single weights do, level by level; units are fewer, so that their densities "
    "are others: compare over the number of non-zeros. A structure is compared with single weights of as many "
    "non-zeros to 5 %, and with the dense-small model nearest in size, to 15 %: sizes are named. Dense-small models "
    "train once; the other controls stand beside 1x4 blocks and units, each with masks of that structure.",
    "C4": "In the paper a ticket beats dense in noise (WER 16.8 % to 15.75 %, 38.2 % to 15.8 %). Trained "
    "with the pack's training sounds at 20, 10, 5 and 0 dB: three copies of each utterance are noisy, one "
    "is clean, and an epoch draws one of them, so that it costs what a clean one does. Tested with the pack's test "
    "sounds, which no training heard: one draw of sound and place for each utterance, the same at every ratio and for "
    "every model. The best ticket is chosen on clean dev. Dense trained for as long had as many "
    "epochs as all levels together; random-pruning, too.",
    "C5": "The source is mini_librispeech in characters, on a processor: 15 epochs dense, then 3 rounds of 52.5 % with "
    "4 epochs each, to 10.7 %. Its dense level 0 and its ticket train on each target for the same number of epochs. "
    'The ticket has had 12 epochs more on the source than level 0: "longer" is level 0 trained on for as many, '
    "random mask is level 0 with as many weights removed at random, trained on for as many. "
    "Costs are in multiples of the dense training on the target alone; all training on the source is not counted.",
    "cost": "IMP stands beside its own dense model, all others beside the Conformer's. Trainings in multiples of the "
    "dense one, all that came before included; a distilled step counts 4/3. An epoch of a sparse model counts as "
    "one of the dense model. A method matches IMP as a ticket matches dense: its interval ends at most 1 point "
    "above IMP's ticket of that density. Which method stands for what is affordable is chosen on dev: the cheapest "
    "whose dev WER is at most IMP's, else the nearest to it. No dense model of 168 epochs stands beside the longer "
    "gradual training.",
}
