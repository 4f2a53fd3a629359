"""Plain text and general questions of ours: what a language model still knows after it has learnt something else."""

PLAIN = (
    "The river had risen overnight, and the path along its bank was under water. We went back to the village and asked "
    "at the mill, where an old man told us that the bridge further up could still be crossed.",
    "A bicycle stays upright because the rider steers into the direction in which it begins to fall. The wheels move "
    "back under the centre of mass, and the bicycle straightens up again.",
    "To make bread, mix flour, water, salt and a little yeast, and leave the dough in a warm place until it has "
    "doubled in size. Then shape it, let it rise once more, and bake it in a hot oven for forty minutes.",
    "The council met on Tuesday evening to decide about the new library. After two hours of discussion it was agreed "
    "that the building should stand beside the school, so that children can use it in the afternoon.",
    "Bees tell one another where flowers are by dancing. The angle of the dance shows the direction with respect to "
    "the sun, and how long it lasts shows the distance.",
    "She closed the book, put it back on the shelf and looked out of the window. It had stopped raining, and the first "
    "lamps were being lit along the street.",
)
QUESTIONS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How many days does a week have?", "A week has seven days."),
    ("Which planet is closest to the sun?", "Mercury is the planet closest to the sun."),
    ("What do you get when water freezes?", "When water freezes, it becomes ice."),
    ("Which language is spoken in Brazil?", "Portuguese is spoken in Brazil."),
    ("What is the opposite of hot?", "The opposite of hot is cold."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("Who wrote Romeo and Juliet?", "Romeo and Juliet was written by William Shakespeare."),
    ("What colour is the sky on a clear day?", "On a clear day, the sky is blue."),
    ("What is the largest ocean on Earth?", "The largest ocean on Earth is the Pacific Ocean."),
)
