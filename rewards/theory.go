package rewards

import (
	"fmt"
	"slices"
	"strings"

	"steer/rl/data"
)

// TheoryName names what a reward model stands for.
type TheoryName string

// The theories.
const (
	Deontology     TheoryName = "deontology"
	Utilitarianism TheoryName = "utilitarianism"
	Virtue         TheoryName = "virtue"
	Harmlessness   TheoryName = "harmlessness"
	// Toxicity is a classifier of single statements: its score is a log-odds.
	Toxicity TheoryName = "toxicity"
	Custom   TheoryName = "custom" // pairs from a file of the user's
)

// Values lists the theories.
func (TheoryName) Values() []string {
	out := make([]string, len(theories))
	for i, t := range theories {
		out[i] = string(t.Name)
	}
	return out
}

// Recipe says how labelled rows of one scenario become pairs.
type Recipe string

// The recipes. Rows of equal scenario form a group, wherever they are in the file.
const (
	// RecipeCross: every preferred row with every other row of its scenario.
	RecipeCross Recipe = "cross"
	// RecipeZip: the first preferred row with the first other row, the second with
	// the second, until one side runs out. No row is in two pairs.
	RecipeZip Recipe = "zip"
	// RecipeOne: one pair a scenario, drawn by the seed.
	RecipeOne Recipe = "one"
	// RecipeRows: a row is a pair already, or a text with a label, of which the score is the log-odds.
	RecipeRows Recipe = "rows"
)

// Values lists the recipes.
func (Recipe) Values() []string {
	return []string{string(RecipeCross), string(RecipeZip), string(RecipeOne), string(RecipeRows)}
}

// Theory is one line of the table of theories: everything that tells the theories
// apart.
type Theory struct {
	Name  TheoryName
	About string // one sentence

	// Formats that its files may have; the first is that of the release.
	Formats []data.Format
	// TrainFile and TestFile are the release's names, below the folder of its data set.
	TrainFile, TestFile string

	// Recipes that apply; the first is the default.
	Recipes []Recipe
	// PreferredLabel is the label of the side to be chosen (rows that come with a
	// label): the polarity of the theory.
	PreferredLabel int

	// PlainJoin stands between scenario and answer in the plain form.
	PlainJoin string
	// ChatPrompt is the user message of the chat form; "{scenario}" is replaced. Empty
	// where the data are dialogues.
	ChatPrompt string
}

var theories = []Theory{
	{
		Name: Deontology, About: "Is the excuse, or the duty derived from a role, reasonable? (ETHICS)",
		Formats: []data.Format{data.FormatDeontology}, TrainFile: "deontology/deontology_train.csv",
		TestFile: "deontology/deontology_test.csv",
		Recipes:  []Recipe{RecipeCross, RecipeZip, RecipeOne}, PreferredLabel: 1,
		// The scenario is said to somebody (a request, a role) and the excuse is what
		// they answer: an exchange as it stands.
		PlainJoin: " ", ChatPrompt: "{scenario}",
	},
	{
		Name: Utilitarianism, About: "Which of two scenarios is the more pleasant one for the person in it? (ETHICS)",
		Formats: []data.Format{data.FormatUtilitarianism}, TrainFile: "utilitarianism/util_train.csv",
		TestFile: "utilitarianism/util_test.csv",
		Recipes:  []Recipe{RecipeRows},
		// A first-person report answers this question, and the question is the same on
		// both sides, so only the report decides.
		ChatPrompt: "Tell me about something that happened to you.",
	},
	{
		Name: Virtue, About: "Does the character show the trait that is named? (ETHICS)",
		Formats: []data.Format{data.FormatVirtue}, TrainFile: "virtue/virtue_train.csv",
		TestFile: "virtue/virtue_test.csv",
		Recipes:  []Recipe{RecipeCross, RecipeZip, RecipeOne}, PreferredLabel: 1,
		PlainJoin: data.VirtueSeparator, ChatPrompt: "{scenario}\nWhat trait of character does this show?",
	},
	{
		Name: Harmlessness, About: "Which of two assistant answers is less harmful? (hh-rlhf harmless-base)",
		Formats:   []data.Format{data.FormatHH, data.FormatPairs, data.FormatRanked, data.FormatKTO},
		TrainFile: "harmless-base/train.jsonl", TestFile: "harmless-base/test.jsonl",
		Recipes: []Recipe{RecipeRows, RecipeCross, RecipeZip, RecipeOne},
	},
	{
		Name: Toxicity, About: "Is a statement free of toxicity? A classifier of single texts: the score is the " +
			"log-odds of harmless (ToxiGen)",
		Formats: []data.Format{data.FormatToxiGen}, TrainFile: "annotated_train.csv", TestFile: "annotated_test.csv",
		Recipes: []Recipe{RecipeRows},
		// The benchmarks put statements before a reward model with the same question.
		ChatPrompt: "What do you think?",
	},
	{
		Name: Custom, About: "Preferences from a file of yours: pairs, ranked answers, answers with a label, or " +
			"pre-tokenised pairs.",
		Formats: data.PairFormats(), Recipes: []Recipe{RecipeRows, RecipeCross, RecipeZip, RecipeOne},
	},
}

// Theories gives the table.
func Theories() []Theory { return slices.Clone(theories) }

// Lookup gives the theory of a name.
func Lookup(name TheoryName) (Theory, error) {
	for _, t := range theories {
		if t.Name == name {
			return t, nil
		}
	}
	return Theory{}, fmt.Errorf("rewards: theory: want one of %s, got %q", strings.Join(name.Values(), ", "), name)
}

// recipesOf are the recipes of the formats that any theory of preferences may be read from; the first is the
// default.
var recipesOf = map[data.Format][]Recipe{
	data.FormatPairs: {RecipeRows}, data.FormatTokenPairs: {RecipeRows}, data.FormatHH: {RecipeRows},
	data.FormatRanked: {RecipeCross, RecipeOne},
	data.FormatKTO:    {RecipeRows, RecipeCross, RecipeZip, RecipeOne},
}

// recipeFor is recipe for a file of a format.
func (t Theory) recipeFor(r Recipe, format data.Format) (Recipe, error) {
	recipes, ok := recipesOf[format]
	switch {
	case !ok:
		return t.recipe(r)
	case r == "":
		return recipes[0], nil
	case !slices.Contains(recipes, r):
		return "", fmt.Errorf("rewards: recipe: files of format %s take %v, got %q", format, recipes, r)
	}
	return r, nil
}

// recipe gives the recipe to use: the given one, or the theory's default.
func (t Theory) recipe(r Recipe) (Recipe, error) {
	if r == "" {
		return t.Recipes[0], nil
	}
	if !slices.Contains(t.Recipes, r) {
		return "", fmt.Errorf("rewards: recipe: %s takes %v, got %q", t.Name, t.Recipes, r)
	}
	return r, nil
}
