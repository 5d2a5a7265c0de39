"""English that is not for the recogniser: sentences of everyday life, and words outside its vocabulary."""

_TRAIN_SENTENCES = """
The old bridge across the river was painted green last summer.
She borrowed my umbrella and never brought it home again.
Our neighbours are planning to build a wooden fence around their garden.
He could hardly believe what the newspaper had written about him.
Several tourists were waiting outside the museum in the rain.
My grandmother used to tell us stories about the war.
The children found a tiny frog under the wet leaves.
Nobody knows why the machine suddenly became so noisy.
There was a strange smell coming from the basement.
Please remember to water the plants while we are travelling.
The train was delayed because of heavy snow in the mountains.
They argued about politics during the entire dinner.
A young fisherman discovered the wreck near the northern coast.
The committee will announce its decision tomorrow afternoon.
Her brother works as an engineer for a foreign shipping company.
I think we should invite the entire family to the wedding.
The soup needs salt, pepper and perhaps a few more carrots.
Scientists are studying how whales communicate under water.
The judge listened carefully to every witness.
Have you ever visited the castle on the hill above the village?
His shoes were covered with mud after the long hike.
The library stays quiet even when it is full of students.
We watched the sunset from the roof of the hotel.
A flock of geese flew over the frozen lake this morning.
The carpenter measured the shelf before cutting the board.
Somebody must have forgotten to lock the bicycle.
Rich farmers once owned most of the land around here.
The actress thanked her parents during an emotional speech.
It seems that the prices will rise again this winter.
The puppy chewed the corner of the expensive carpet.
Doctors recommend sleeping longer and worrying less.
My favourite subject at school was always geography.
The bakery around the corner sells wonderful bread.
He apologised politely and walked away without another word.
Thousands of people gathered in front of the parliament.
The pilot explained that the landing might be rough.
She keeps her jewellery in a box beneath the bed.
We should probably ask someone for directions.
The author spends most of her mornings in the kitchen writing.
Their apartment is much bigger than it appears from outside.
A sudden storm destroyed the harvest in the valley.
The mechanic said that the engine was beyond repair.
Please tell your manager that the delivery has arrived.
The orchestra practised the same symphony for weeks.
Wild horses still live on the islands near the border.
I would rather travel by boat than by plane.
The museum bought an ancient statue from a private collector.
Everybody laughed when the clown fell into the fountain.
The teacher asked us to read another chapter before Monday.
Her voice was trembling when she answered the telephone.
The company plans to hire more people in spring.
Without glasses he cannot recognise anybody across the street.
A narrow path leads through the forest towards the chapel.
The weather forecast promises sunshine for the weekend.
They decided to sell their villa and move abroad.
The kettle was whistling while the phone rang upstairs.
My cousin collects stamps from all over the world.
The bridge collapsed shortly after the trucks had crossed it.
This painting reminds me of my childhood in the country.
The mayor promised cheaper buses and cleaner streets.
Fresh strawberries are hard to find during winter.
He spent his savings on a motorcycle and a leather jacket.
The lawyer refused to answer any questions from the press.
Many languages are spoken in this part of the city.
The gardener planted roses along the southern wall.
I have never understood the rules of cricket.
Our flight was cancelled and we slept at the airport.
The detective noticed a scratch on the polished table.
Most birds build their nests inside old chimneys.
The audience remained silent until the curtain fell.
She promised to write as soon as she arrived in London.
The factory produces furniture for schools and hospitals.
A gentle breeze moved the curtains in the bedroom.
The prince married the daughter of a poor shoemaker.
You should never swim directly after a heavy meal.
The painter mixed blue and yellow until he was satisfied.
Their argument could be heard throughout the building.
The farmer's wife feeds the chickens every evening.
I was surprised by how friendly the customs officer was.
The candidate avoided every difficult question.
Long before sunrise the fishermen were already at sea.
The new tunnel connects both sides of the mountain.
A broken window let the cold air into the classroom.
The zoo is expecting a baby elephant later this year.
My father repairs clocks and watches as a hobby.
The customers complained about the slow service.
Police officers are searching the woods for the missing boy.
The recipe calls for butter, flour and a pinch of ginger.
Her answer was short, honest and rather surprising.
We need another ladder to reach the ceiling.
The desert is beautiful but extremely dangerous in the summer.
The professor's lecture about volcanoes was fascinating.
Most of the guests had already gone when we arrived.
The river floods the meadows almost every spring.
He whispered something that nobody else could understand.
The dentist told me to brush more carefully.
Ancient Egyptians believed in life after death.
The nurse changed the bandage and smiled at the patient.
They are talking about the election on every channel.
Your sister dances better than anyone I have ever met.
The sailors were singing loudly in the harbour tavern.
A thick fog covered the motorway before dawn.
The tailor shortened the sleeves of the woollen jacket.
I wonder whether the letter has reached them already.
The cathedral was built many centuries ago.
His speech convinced even the most sceptical members.
The kitchen smells of onions and roasted garlic.
They travelled through Norway in a rusty camper van.
Our team lost the match because of a silly mistake.
The baby fell asleep while her mother was humming softly.
Experts disagree about the causes of the accident.
The waiter dropped a tray full of glasses.
This bus does not serve the station on Sundays.
The curious monkey grabbed the visitor's hat.
Almost every household owns a television nowadays.
The thieves escaped through a window behind the stage.
My knees hurt whenever the weather changes.
The queen opened the exhibition together with her nephew.
Our holiday began with a terrible thunderstorm.
He studied chemistry before becoming a musician.
""".strip().splitlines()

_DEV_SENTENCES = """
The shepherd counted his sheep before returning to the village.
Her uncle teaches mathematics at a college in Scotland.
The plumber promised to come before lunch but never appeared.
A lonely lighthouse stands on the cliffs above the bay.
Most of the passengers were reading or sleeping.
The government wants to reduce taxes for local businesses.
I accidentally deleted the photographs from our journey.
The hungry wolf watched the cabin from the edge of the woods.
They celebrated their anniversary in a restaurant by the canal.
The magician pulled a rabbit from his enormous hat.
Nurses and doctors worked together throughout the night.
The bookshop was closed for renovation during the winter.
She painted the walls of the nursery yellow and white.
The swimmer broke the national record yesterday evening.
Please bring warm clothes and comfortable shoes for the trip.
The economy grew faster than most analysts had predicted.
My roommate plays the violin terribly but enthusiastically.
The archaeologists uncovered a mosaic beneath the market square.
We waited nearly the entire day for the ferry to leave.
The witness described the driver of the stolen car.
""".strip().splitlines()

# fmt: off
_TRAIN_WORDS = (
    "airport", "apple", "armchair", "autumn", "bakery", "balcony", "banana", "basket", "bedroom", "bicycle", "blanket",
    "bottle", "bracelet", "breakfast", "bridge", "broccoli", "brother", "bucket", "butter", "butterfly", "button",
    "cabbage", "camera", "candle", "carpet", "castle", "cathedral", "ceiling", "chairman", "chicken", "chimney",
    "chocolate", "church", "cinema", "circle", "climate", "cottage", "cotton", "country", "cousin", "crocodile",
    "curtain", "customer", "danger", "daughter", "dentist", "desert", "diamond", "dictionary", "dinner", "doctor",
    "dolphin", "donkey", "dragon", "drawer", "eagle", "economy", "elbow", "elephant", "emperor", "engine", "envelope",
    "evening", "factory", "family", "farmer", "feather", "festival", "finger", "fisherman", "flower", "football",
    "forest", "fountain", "friendship", "furniture", "garage", "garden", "garlic", "gentleman", "giraffe", "glacier",
    "glasses", "government", "grammar", "grandmother", "guitar", "hammer", "handkerchief", "harbour", "harvest",
    "highway", "history", "holiday", "honey", "hospital", "hotel", "husband", "iceberg", "insect", "island", "jacket",
    "jealous", "jewel", "journey", "jungle", "kangaroo", "ketchup", "kettle", "kitchen", "knowledge", "ladder",
    "language", "laundry", "lawyer", "leather", "lemon", "lettuce", "library", "lightning", "lizard", "machine",
    "magazine", "magnet", "marble", "market", "marriage", "meadow", "medicine", "memory", "merchant", "midnight",
    "minister", "mirror", "monkey", "morning", "mosquito", "mountain", "mushroom", "musician", "napkin", "nature",
    "necklace", "needle", "neighbour", "newspaper", "nightmare", "notebook", "nursery", "obvious", "ocean", "octopus",
    "office", "onion", "orange", "orchestra", "oven", "oyster", "painter", "palace", "paper", "parents", "parliament",
    "passenger", "peanut", "pencil", "pepper", "perfume", "photograph", "piano", "picture", "pillow", "pineapple",
    "pirate", "planet", "plastic", "pocket", "poem", "policeman", "potato", "prison", "professor", "promise",
    "pumpkin", "purple", "puzzle", "pyramid", "question", "rabbit", "railway", "rainbow", "raspberry", "refrigerator",
    "religion", "restaurant", "rhythm", "river", "rocket", "rubber", "sailor", "salmon", "sandwich", "sausage",
    "scarecrow", "scissors", "season", "secret", "shadow", "shampoo", "shoulder", "silver", "sister", "skeleton",
    "snowman", "soldier", "spaghetti", "spider", "spinach", "squirrel", "station", "strawberry", "student", "suitcase",
    "summer", "sunshine", "surgeon", "swallow", "sweater", "table", "tailor", "teacher", "telephone", "temple",
    "theatre", "thunder", "ticket", "tiger", "tobacco", "tomato", "tornado", "tortoise", "tourist", "towel", "tractor",
    "treasure", "trumpet", "tunnel", "turkey", "umbrella", "uncle", "university", "valley", "vegetable", "victory",
    "village", "violin", "volcano", "waiter", "wallet", "walnut", "weather", "wedding", "whisper", "widow", "window",
    "winter", "witness", "wizard", "woman", "wonder", "yellow", "yesterday", "yoghurt", "zebra", "absolutely",
    "although", "angry", "beautiful", "because", "behind", "between", "brave", "broken", "careful", "certain",
    "clever", "comfortable", "curious", "dangerous", "delicious", "different", "difficult", "early", "easily", "empty",
    "enormous", "expensive", "famous", "favourite", "foreign", "friendly", "funny", "gentle", "happy", "heavy",
    "honest", "hungry", "important", "jolly", "lazy", "lonely", "lovely", "magnificent", "modern", "narrow", "nervous",
    "ordinary", "perhaps", "polite", "popular", "possible", "quickly", "quiet", "ridiculous", "serious", "silent",
    "simple", "slowly", "stupid", "terrible", "thirsty", "ugly", "usually", "valuable", "wonderful", "borrow", "carry",
    "celebrate", "complain", "consider", "deliver", "describe", "discover", "explain", "forget", "forgive", "gather",
    "imagine", "improve", "invite", "listen", "measure", "notice", "organise", "practise", "prepare", "protect",
    "realise", "remember", "replace", "suggest", "swim", "travel", "understand",
)

_DEV_WORDS = (
    "alphabet", "ambulance", "anchor", "avocado", "backpack", "blossom", "bonfire", "buffalo", "carnival",
    "cauliflower", "cinnamon", "compass", "cucumber", "detective", "diary", "earthquake", "falcon", "galaxy",
    "gymnasium", "hedgehog", "helicopter", "horizon", "kingdom", "lantern", "mathematics", "mermaid", "microscope",
    "mustard", "orchard", "parachute", "penguin", "pharmacy", "postcard", "raincoat", "satellite", "saxophone",
    "shepherd", "telescope", "thermometer", "vinegar", "waterfall", "whistle", "wilderness", "ancient", "bitter",
    "cheerful", "fragile", "generous", "grateful", "hollow", "nearly", "peculiar", "rapidly", "stubborn", "sudden",
    "apologise", "decorate", "disappear", "encourage", "hesitate", "translate", "wander",
)
# fmt: on

# split -> sentences, and split -> words; nothing is in two splits.
ENGLISH_SENTENCES = {"train": tuple(_TRAIN_SENTENCES), "dev": tuple(_DEV_SENTENCES)}
ENGLISH_WORDS = {"train": _TRAIN_WORDS, "dev": _DEV_WORDS}
