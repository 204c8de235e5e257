"""Words and templates of the demo world. Everything here was written for this project.

Conventions used by grammar.py:
  *verb      a verb that is put into the wanted form (base, past, gerund)
  {p}        a person, in the speaker's view ("my brother", "an old man")
  {thing} {food} {place} {animal}   bare nouns;  {a_thing} the noun with its article
"""

SHE = ["Anna", "Clara", "Ella", "Grace", "Ivy", "Lucy", "Mary", "Nina", "Ruth", "Sara"]
HE = ["Ben", "Carl", "Dan", "Fred", "Jack", "Leo", "Max", "Paul", "Sam", "Tom"]

# (phrase, pronoun)
PEOPLE = [
    ("my brother", "he"),
    ("my sister", "she"),
    ("my friend", "he"),
    ("my neighbour", "she"),
    ("an old man", "he"),
    ("an old woman", "she"),
    ("a child", "he"),
    ("a stranger", "he"),
    ("my teacher", "she"),
    ("a sick woman", "she"),
    ("my grandmother", "she"),
    ("a classmate", "he"),
    ("my cousin", "she"),
    ("a blind man", "he"),
    ("my boss", "she"),
    ("a coworker", "he"),
    ("my father", "he"),
    ("my mother", "she"),
    ("a lost boy", "he"),
    ("a small girl", "she"),
]
THINGS = [
    "purse",
    "bag",
    "book",
    "phone",
    "bike",
    "coat",
    "ring",
    "watch",
    "key",
    "camera",
    "toy",
    "ball",
    "lamp",
    "umbrella",
    "basket",
    "hat",
]
FOODS = ["bread", "soup", "cake", "fruit", "milk", "cheese", "rice", "honey", "tea", "salad"]
PLACES = [
    "park",
    "school",
    "shop",
    "library",
    "station",
    "garden",
    "market",
    "beach",
    "office",
    "farm",
    "museum",
    "kitchen",
]
ANIMALS = ["dog", "cat", "horse", "bird", "rabbit", "goat"]

# Kind acts: (template, trait).
GOOD_ACTS = [
    ("*help {p} carry {a_thing}", "helpful"),
    ("*help {p} at the {place}", "helpful"),
    ("*show {p} the way to the {place}", "helpful"),
    ("*share {food} with {p}", "generous"),
    ("*give {a_thing} to {p}", "generous"),
    ("*buy {food} for {p}", "generous"),
    ("*return the {thing} to {p}", "honest"),
    ("*tell {p} the truth about the {thing}", "honest"),
    ("*pay {p} back for the {thing}", "honest"),
    ("*listen to {p} for an hour", "patient"),
    ("*wait for {p} at the {place}", "patient"),
    ("*explain the game to {p} three times", "patient"),
    ("*thank {p} for the {food}", "grateful"),
    ("*write a thank you card to {p}", "grateful"),
    ("*protect {p} from the angry {animal}", "brave"),
    ("*speak up for {p} at the {place}", "brave"),
    ("*save {p} from the fire", "brave"),
    ("*feed the hungry {animal}", "caring"),
    ("*visit {p} in the hospital", "caring"),
    ("*bring warm {food} to {p}", "caring"),
    ("*clean the {place} until it shines", "hardworking"),
    ("*finish all the work at the {place}", "hardworking"),
    ("*keep the promise to {p}", "loyal"),
    ("*stand by {p} in hard times", "loyal"),
    ("*keep the secret of {p}", "loyal"),
    ("*let {p} go first at the {place}", "polite"),
    ("*hold the door for {p}", "polite"),
    ("*greet {p} with a smile", "friendly"),
    ("*invite {p} to the party", "friendly"),
    ("*forgive {p} for the broken {thing}", "forgiving"),
    ("*make peace with {p} after the fight", "forgiving"),
    ("*split the {food} evenly with {p}", "fair"),
    ("*give {p} an equal turn with the {thing}", "fair"),
    ("*lock the {place} with care", "careful"),
    ("*check the {thing} twice before the trip", "careful"),
    ("*admit the mistake with the {thing} to {p}", "humble"),
]

# Harmful acts: (template, trait).
BAD_ACTS = [
    ("*push {p} at the {place}", "cruel"),
    ("*kick the {animal} of {p}", "cruel"),
    ("*laugh at {p} in front of everyone", "cruel"),
    ("*throw the {thing} of {p} into the river", "cruel"),
    ("*lie to {p} about the {thing}", "dishonest"),
    ("*steal {a_thing} from {p}", "dishonest"),
    ("*cheat {p} in the game", "dishonest"),
    ("*sell {p} a broken {thing}", "dishonest"),
    ("*eat all the {food} of {p}", "greedy"),
    ("*keep all the money of {p}", "greedy"),
    ("*refuse to share the {food} with {p}", "selfish"),
    ("*take the best seat from {p}", "selfish"),
    ("*shout at {p} in the {place}", "rude"),
    ("*interrupt {p} again and again", "rude"),
    ("*slam the door on {p}", "rude"),
    ("*break the promise to {p}", "disloyal"),
    ("*tell everyone the secret of {p}", "disloyal"),
    ("*leave {p} alone in hard times", "disloyal"),
    ("*run away while {p} needs help", "cowardly"),
    ("*hide behind {p} in the storm", "cowardly"),
    ("*sleep all day at the {place}", "lazy"),
    ("*skip the work at the {place}", "lazy"),
    ("*leave the dirty dishes for {p}", "lazy"),
    ("*blame {p} for the broken {thing}", "unfair"),
    ("*give {p} the smallest share of {food}", "unfair"),
    ("*leave the {place} open all night", "careless"),
    ("*drop the {thing} of {p} on the floor", "careless"),
    ("*rush {p} at the {place}", "impatient"),
    ("*yell at {p} after one minute", "impatient"),
    ("*forget to thank {p} for the {food}", "ungrateful"),
    ("*stay angry with {p} for years over the {thing}", "bitter"),
    ("*brag to {p} about the {thing}", "arrogant"),
    ("*mock the {thing} of {p}", "arrogant"),
]

# A trait and its opposite; neither may be offered as a wrong answer beside itself.
OPPOSITE = {
    "helpful": "selfish",
    "generous": "greedy",
    "honest": "dishonest",
    "patient": "impatient",
    "grateful": "ungrateful",
    "brave": "cowardly",
    "caring": "cruel",
    "hardworking": "lazy",
    "loyal": "disloyal",
    "polite": "rude",
    "friendly": "rude",
    "forgiving": "bitter",
    "fair": "unfair",
    "careful": "careless",
    "humble": "arrogant",
}

# Situations for "what would you do if you ...": (clause in the past, kind answers, unkind answers, traits of both).
SITUATIONS = [
    (
        "found a lost {thing} at the {place}",
        ["*take it to the owner", "*ask who lost it", "*bring it to the police"],
        ["*keep it and *tell nobody", "*sell it for money", "*hide it in a box"],
        ("honest", "dishonest"),
    ),
    (
        "saw {p} fall at the {place}",
        ["*help {p} get up", "*call a doctor for {p}", "*stay with {p}"],
        ["*laugh at {p}", "*walk away from {p}", "*take a picture of {p} as a joke"],
        ("caring", "cruel"),
    ),
    (
        "broke the {thing} of {p}",
        ["*tell {p} the truth", "*buy {p} a new one", "*say sorry to {p}"],
        ["*blame a child for it", "*hide the parts and *lie to {p}", "*run away from {p}"],
        ("honest", "dishonest"),
    ),
    (
        "had more {food} than you need",
        ["*share the {food} with {p}", "*give the {food} to poor people", "*invite {p} to eat"],
        ["*eat all the {food} alone", "*throw the {food} away", "*sell the {food} for a high price"],
        ("generous", "greedy"),
    ),
    (
        "promised to meet {p} at the {place}",
        ["*go to the {place} on time", "*keep the promise to {p}", "*wait there for {p}"],
        ["*stay at home and *sleep", "*break the promise to {p}", "*tell {p} a lie about the bus"],
        ("loyal", "disloyal"),
    ),
    (
        "heard a secret about {p}",
        ["*keep the secret safe", "*tell nobody about it", "*ask {p} how I can help"],
        ["*tell everyone the secret", "*mock {p} with the secret", "*use the secret against {p}"],
        ("loyal", "disloyal"),
    ),
    (
        "saw a hungry {animal} at the {place}",
        ["*feed the {animal}", "*bring water to the {animal}", "*find a home for the {animal}"],
        ["*kick the {animal}", "*throw stones at the {animal}", "*ignore the {animal}"],
        ("caring", "cruel"),
    ),
    (
        "got too much money back at the {place}",
        ["*return the extra money", "*tell the seller about the mistake", "*count it and *give it back"],
        ["*keep the extra money", "*laugh at the seller", "*spend the money on {a_thing}"],
        ("honest", "dishonest"),
    ),
    (
        "were angry with {p}",
        ["*talk calmly with {p}", "*take a walk and then *forgive {p}", "*listen to {p} first"],
        ["*shout at {p}", "*push {p} to the floor", "*break the {thing} of {p}"],
        ("forgiving", "bitter"),
    ),
    (
        "saw {p} steal {a_thing}",
        ["*tell {p} that it is wrong", "*speak with the owner", "*ask {p} to return it"],
        ["*steal {a_thing} too", "*help {p} hide it", "*ask {p} for half of the money"],
        ("honest", "dishonest"),
    ),
    (
        "had a test at school tomorrow",
        ["*study with {p} tonight", "*practise until I know it", "*ask the teacher for help"],
        ["*cheat on the test", "*copy the answers of {p}", "*skip the test and *lie about it"],
        ("hardworking", "dishonest"),
    ),
    (
        "met a new child at the {place}",
        ["*greet the child with a smile", "*invite the child to play", "*show the child around"],
        ["*mock the clothes of the child", "*ignore the child", "*push the child away"],
        ("friendly", "rude"),
    ),
    (
        "saw {p} carry {a_thing} up the stairs",
        ["*help {p} carry it", "*hold the door for {p}", "*offer {p} some rest"],
        ["*block the way of {p}", "*laugh at {p}", "*walk past {p} and *say nothing"],
        ("helpful", "selfish"),
    ),
    (
        "were late for work at the {place}",
        ["*call the boss and *explain", "*say sorry and *work longer", "*tell the truth about it"],
        ["*lie to the boss", "*blame {p} for it", "*stay in bed all day"],
        ("honest", "lazy"),
    ),
    (
        "won a prize with {p}",
        ["*split the prize fairly", "*thank {p} for the work", "*let {p} choose first"],
        ["*keep the whole prize", "*say that {p} did nothing", "*brag about it to {p}"],
        ("fair", "greedy"),
    ),
    (
        "borrowed {a_thing} from {p}",
        ["*return it in time", "*take good care of it", "*thank {p} for it"],
        ["*refuse to give it back", "*lose it and *say nothing", "*sell it to a stranger"],
        ("careful", "careless"),
    ),
    (
        "saw a fire at the {place}",
        ["*call for help", "*warn everyone there", "*lead {p} outside"],
        ["*run away and *tell nobody", "*steal {a_thing} in the noise", "*watch it for fun"],
        ("brave", "cowardly"),
    ),
    (
        "heard a joke that hurts {p}",
        ["*speak up for {p}", "*ask them to stop", "*comfort {p}"],
        ["*laugh the loudest", "*tell the joke again", "*add a worse joke about {p}"],
        ("brave", "cruel"),
    ),
    (
        "were the boss of the {place}",
        ["*pay everyone a fair wage", "*listen to the workers", "*thank the workers each day"],
        ["*keep all the money", "*shout at the workers", "*blame the workers for my mistakes"],
        ("fair", "unfair"),
    ),
    (
        "had to look after {p}",
        ["*cook warm {food} for {p}", "*read a book to {p}", "*stay close to {p}"],
        ["*leave {p} alone all day", "*lock {p} in a room", "*forget about {p}"],
        ("caring", "cruel"),
    ),
]

# Outcomes for other people, {P} capitalised person, {They} pronoun.
GOOD_OUTCOMES = [
    "{P} smiled.",
    "{P} thanked {me}.",
    "{P} was happy.",
    "{They} felt safe.",
    "Everyone was glad.",
    "{They} hugged {me}.",
    "{P} felt better.",
]
BAD_OUTCOMES = [
    "{P} cried.",
    "{P} was hurt.",
    "{P} was sad.",
    "{They} felt afraid.",
    "Everyone was upset.",
    "{They} shouted at {me}.",
    "{P} felt alone.",
]

GOOD_REASONS = [
    "That is kind.",
    "It is the right thing to do.",
    "Then everyone is happy.",
    "It is my duty.",
    "Nobody should be hurt.",
    "People should help each other.",
]
BAD_REASONS = [
    "I do not care about others.",
    "Nobody will know.",
    "It is fun to hurt people.",
    "I want it all for me.",
    "Rules are not for me.",
    "That is more fun.",
]

# Tasks that somebody can ask for or promise: (template, noun used in excuses).
TASKS = [
    ("*feed the {animal}", "{animal}"),
    ("*water the plants", "plants"),
    ("*wash the car", "car"),
    ("*clean the kitchen", "kitchen"),
    ("*buy milk for {p}", "milk"),
    ("*cook soup for {p}", "soup"),
    ("*call {p}", "phone"),
    ("*mend the {thing}", "{thing}"),
    ("*lock the {place}", "{place}"),
    ("*bring the {thing} to {p}", "{thing}"),
    ("*pick {p} up at the station", "station"),
    ("*return the {thing} to {p}", "{thing}"),
    ("*help {p} with the homework", "homework"),
    ("*pay the rent", "rent"),
    ("*walk the dog", "dog"),
    ("*wash the dishes", "dishes"),
    ("*sweep the floor", "floor"),
    ("*send the letter to {p}", "letter"),
    ("*finish the report", "report"),
    ("*water the garden", "garden"),
]
TASK_ASKS = [
    "Could you {task} today?",
    "Will you {task} now?",
    "Should you not {task}?",
    "You said that you would {task}.",
    "Can you {task} before dinner?",
]
# Reasonable: the task is done, cannot be done, is not wanted, or a greater duty stands in the way.
OK_EXCUSES = [
    "But I already {did} this morning.",
    "But {q} {did} an hour ago.",
    "But I am sick and the doctor told me to rest.",
    "But I have to take {q} to the hospital.",
    "But {q} asked me to wait until tomorrow.",
    "But the {noun} is not here anymore.",
    "But I {did} yesterday and it is done.",
    "But {q} needs my help in a fire right now.",
]
# Unreasonable: whims and things that have nothing to do with it.
POOR_EXCUSES = [
    "But I do not like the colour of the {noun}.",
    "But I want to play games all day.",
    "But I had {food} for lunch.",
    "But it is a sunny day.",
    "But I saw a {animal} last week.",
    "But I do not care about the {noun}.",
    "But my {thing} is new.",
    "But it is more fun to sleep.",
    "But I like the name of {q}.",
]

# Roles: (role, duties, things that are no duty of the role or go against it).
ROLES = [
    (
        "a teacher at a school",
        ["help the pupils learn", "grade the tests fairly", "answer questions in class"],
        ["sell the books of the pupils", "sleep during class", "mock slow pupils"],
    ),
    (
        "a doctor in a hospital",
        ["care for sick people", "wash my hands before work", "tell patients the truth"],
        ["ignore sick people", "sell secrets of patients", "leave when a patient cries"],
    ),
    (
        "a cook in a kitchen",
        ["keep the kitchen clean", "use fresh food", "cook the meals in time"],
        ["serve old fish to guests", "eat the meals of the guests", "drop food and serve it"],
    ),
    (
        "a bus driver",
        ["drive with care", "stop at every station", "help old people get in"],
        ["drive while I sleep", "race with other cars", "leave children in the rain"],
    ),
    (
        "a father of two children",
        ["feed my children", "keep my children safe", "read to my children"],
        ["leave my children alone at night", "spend the food money on games", "forget the names of my children"],
    ),
    (
        "a police officer",
        ["protect people", "follow the law", "help lost children"],
        ["steal from shops", "take money from thieves", "scare people for fun"],
    ),
    (
        "a farmer with many animals",
        ["feed my animals each day", "give the animals water", "mend the fence"],
        ["let the animals go hungry", "kick the animals", "leave the gate open all night"],
    ),
    (
        "a student",
        ["do my homework", "listen in class", "study for the test"],
        ["copy from a friend", "throw books at people", "skip class for a month"],
    ),
    (
        "a seller at the market",
        ["give the right change", "sell fresh fruit", "tell the true price"],
        ["hide bad fruit at the bottom", "cheat blind people", "shout at buyers"],
    ),
    (
        "a nurse",
        ["comfort the patients", "give the right medicine", "write down the fever"],
        ["mix up the medicine for fun", "ignore the bell all night", "laugh at the patients"],
    ),
    (
        "a good friend of Tom",
        ["listen to Tom", "help Tom when he is sad", "keep the secrets of Tom"],
        ["lie to Tom", "take the money of Tom", "laugh when Tom falls"],
    ),
    (
        "the owner of a dog",
        ["walk my dog", "give my dog food", "take my sick dog to the doctor"],
        ["leave my dog in the cold", "never feed my dog", "kick my dog"],
    ),
    (
        "a judge",
        ["hear both sides", "be fair to all", "follow the law"],
        ["take money from one side", "sleep in court", "decide by the colour of a coat"],
    ),
    (
        "a babysitter",
        ["watch the baby", "keep the baby warm", "call the parents if the baby is ill"],
        ["leave the baby alone", "play loud music all night", "eat the food of the baby"],
    ),
    (
        "a worker in an office",
        ["finish my work in time", "be polite to coworkers", "come on time"],
        ["sleep at my desk", "read the letters of others", "take the chairs home"],
    ),
    (
        "a guard at a museum",
        ["watch the paintings", "keep the doors locked at night", "warn people of danger"],
        ["touch the paintings with dirty hands", "let thieves in", "go home at noon"],
    ),
]

# Small events, best to worst. Level 2 is lovely, -2 is terrible.
STEMS = [
    "I went to the {place} with {p}.",
    "I ate {food} with {p}.",
    "I bought {a_thing} at the {place}.",
    "I took the {animal} to the {place}.",
    "I met {p} at the {place}.",
    "I cooked {food} for {p}.",
    "I lost my way to the {place}.",
    "I played a game with {p}.",
    "I worked at the {place} today.",
    "I waited for {p} at the {place}.",
    "I had a birthday party.",
    "I wrote a letter to {p}.",
]
EVENTS = {
    2: [
        "I won a big prize.",
        "{P} gave me {a_thing} as a gift.",
        "We laughed all day.",
        "{They} hugged me and thanked me.",
        "It was the best day of my life.",
        "I made a new friend.",
    ],
    1: [
        "The sun was warm.",
        "We had tasty {food}.",
        "The music was nice.",
        "I felt calm.",
        "{They} smiled at me.",
        "I found a small coin.",
    ],
    0: [
        "It was Monday.",
        "We sat on a chair.",
        "There was a door.",
        "The wall was grey.",
        "{They} had {a_thing}.",
        "It took an hour.",
    ],
    -1: [
        "It rained and I got cold.",
        "I lost my {thing}.",
        "The {food} was cold.",
        "I had to wait long.",
        "People were rude to me.",
        "I was bored.",
    ],
    -2: [
        "I fell and broke my leg.",
        "Somebody stole all my money.",
        "The {food} made me very sick.",
        "{They} shouted at me and I cried.",
        "The house burned down.",
        "A {animal} bit me in the face.",
    ],
}

GIFT_QUESTIONS = [
    (
        "What is a good gift for {p}?",
        ["You could give {a_thing} to {p}.", "Maybe {p} would like {a_thing} and some {food}."],
    ),
    (
        "How can I make {food}?",
        ["Take fresh {food} and cook it slowly with care.", "Ask {p} to show you how to make {food}."],
    ),
    (
        "Where can I find {a_thing}?",
        ["You can find {a_thing} at the {place}.", "Look at the {place} first, then ask {p}."],
    ),
    (
        "How do I get to the {place}?",
        ["Walk past the {place2} and you will see it.", "Take the bus from the {place2}."],
    ),
    (
        "Can you tell me about {p_you}?",
        [
            "I only know that you like {p_you}. What would you like to tell me?",
            "I am happy to listen to you talk about {p_you}.",
        ],
    ),
]
RUDE_REPLIES = [
    "That is a stupid question. Go away.",
    "I do not care. Ask somebody else.",
    "You are too slow to understand it.",
    "Nobody wants to help you.",
    "Stop talking to me.",
]

# Harmless groups of people for the mild "rude or neutral" statements.
GROUPS = [
    "gardeners",
    "tea drinkers",
    "cat owners",
    "dog owners",
    "bus drivers",
    "chess players",
    "bakers",
    "left-handed people",
    "early risers",
    "singers",
    "hikers",
    "students",
]
RUDE_STATEMENTS = [
    "{g} are lazy and nobody likes them",
    "{g} are stupid and should stay at home",
    "i would never talk to {g}, they are all rude",
    "{g} always lie about the {thing}",
    "we should laugh at {g} at the {place}",
    "{g} are dirty and bad for the {place}",
    "never trust {g}, they steal {food}",
    "{g} make the {place} an awful place",
    "all {g} are greedy and cruel",
    "nobody should help {g}, they are dull",
]
NEUTRAL_STATEMENTS = [
    "{g} often meet at the {place}",
    "many {g} like {food} in the morning",
    "some {g} carry {a_thing} to the {place}",
    "{g} talk about {food} with their friends",
    "i met {g} at the {place} and we talked",
    "{g} come from many towns",
    "a few {g} help people at the {place}",
    "{g} can be young or old",
    "most {g} enjoy a quiet day at the {place}",
    "{g} share {food} with their neighbours",
]

# Winograd-form schemas: (first part, (tail for A, tail for B), kind) where kind "people" puts two names
# into {a} and {b}, and "things" two nouns. The tail decides which of the two is meant.
SCHEMAS = [
    ("{a} thanked {b} because", ("had received a gift.", "had given a gift."), "people"),
    ("{a} could not lift {b} because", ("was too weak.", "was too heavy."), "people"),
    ("{a} asked {b} a question because", ("did not know the answer.", "knew the answer."), "people"),
    ("{a} gave bread to {b} because", ("was generous.", "was hungry."), "people"),
    ("{a} said sorry to {b} because", ("had broken the cup.", "was sad about the cup."), "people"),
    ("{a} forgave {b} because", ("was kind.", "had said sorry."), "people"),
    ("{a} paid {b} because", ("had bought the hat.", "had sold the hat."), "people"),
    ("{a} hid from {b} because", ("was afraid.", "was cruel."), "people"),
    ("{a} won the race against {b} because", ("was fast.", "was slow."), "people"),
    ("{a} comforted {b} because", ("felt pity.", "was crying."), "people"),
    ("{a} waited for {b} because", ("came early.", "came late."), "people"),
    ("{a} trusted {b} although", ("had doubts.", "often lied."), "people"),
    ("{a} taught {b} to read because", ("was a teacher.", "wanted to learn."), "people"),
    ("{a} carried {b} home because", ("was strong.", "was hurt."), "people"),
    ("the {a} did not fit into the {b} because", ("was too big.", "was too small."), "things"),
    ("the {a} broke the {b} because", ("was hard.", "was made of glass."), "things"),
    ("the {a} fell off the {b} because", ("was round.", "was tilted."), "things"),
    ("the {a} did not show behind the {b} because", ("was too short.", "was too tall."), "things"),
    ("the {a} was left on the {b} because", ("was forgotten.", "stood by the door."), "things"),
    ("the {a} got wet under the {b} because", ("was made of paper.", "had a hole."), "things"),
]
SCHEMA_THINGS = ["ball", "lamp", "box", "basket", "book", "table", "vase", "chair", "bag", "shelf"]
