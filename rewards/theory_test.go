package rewards

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/testfiles"
	"steer/rl/data"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

// The number of pairs each recipe makes of the released files.
func TestRealPairCounts(t *testing.T) {
	ethics, hh := testfiles.Data(t, "ethics"), testfiles.Data(t, "hh-rlhf")
	for _, tc := range []struct {
		theory      TheoryName
		recipe      Recipe
		train, test int
	}{
		{Deontology, RecipeCross, 16733, 3426},
		{Deontology, RecipeZip, 7383, 1634},
		{Deontology, RecipeOne, 4737, 896},
		{Utilitarianism, RecipeRows, 13738, 4808},
		{Virtue, RecipeCross, 18395, 3980},
		{Virtue, RecipeZip, 2415, 995},
		{Virtue, RecipeOne, 2406, 995},
		{Harmlessness, RecipeRows, -1, 2312},
	} {
		theory, err := Lookup(tc.theory)
		require.NoError(t, err)
		root := ethics
		if tc.theory == Harmlessness {
			root = hh
		}
		for _, side := range []struct {
			file string
			want int
		}{{theory.TrainFile, tc.train}, {theory.TestFile, tc.test}} {
			if side.want < 0 {
				continue
			}
			part, err := theory.load(data.Source{Path: filepath.Join(root, side.file)}, tc.recipe, 1)
			require.NoError(t, err)
			require.Equal(t, side.want, part.Info.Built, "%s %s %s", tc.theory, tc.recipe, side.file)
			require.Equal(t, part.Info.Built-part.Info.Identical, len(part.Pairs))
			require.LessOrEqual(t, part.Info.Identical, 2)
			for _, p := range part.Pairs {
				require.NotEqual(t, p.Chosen, p.Rejected)
			}
		}
	}
}

// Leakage between the released train and test files.
func TestRealOverlap(t *testing.T) {
	dir := testfiles.Data(t, "ethics")
	overlap := func(name TheoryName) Overlap {
		cfg := Default()
		cfg.Theory = name
		theory, err := Lookup(name)
		require.NoError(t, err)
		cfg.Train.Path, cfg.HeldOut.Path = filepath.Join(dir, theory.TrainFile), filepath.Join(dir, theory.TestFile)
		set, err := Load(cfg)
		require.NoError(t, err)
		return set.Overlap
	}
	o := overlap(Utilitarianism)
	require.Equal(t, 4808, o.Pairs)
	// Byte for byte it is 1642, 313 and 33; trimmed blanks show a few more.
	require.Equal(t, 1645, o.OneSide)
	require.Equal(t, 318, o.BothSides)
	require.Equal(t, 39, o.WholePair)
	require.Equal(t, 0, o.SharedPrompt)
	require.Equal(t, 4808-1645, o.Clean)

	o = overlap(Deontology)
	require.Equal(t, 3426, o.Pairs)
	require.Equal(t, 439, o.SharedPrompt)
	require.Equal(t, o.Pairs, o.Clean+o.SharedPrompt)
	o = overlap(Virtue)
	require.Equal(t, 3980, o.Pairs)
	// The positive row of a scenario is in one of the files only: few scenarios make
	// pairs in both, although 3865 of the 4975 test rows have theirs in train too.
	require.Equal(t, 4, o.SharedPrompt)
}

func TestRecipes(t *testing.T) {
	path := write(t, "d.csv", "label,scenario,excuse\n"+
		"1,Late? ,No.\n0,Other?,only bad\n0,Late? ,bad1\n1,Late? , Yes. \n0,Late? ,bad2\n0,Late? ,bad3\n1,Only "+
		"good?,good\n")
	theory, err := Lookup(Deontology)
	require.NoError(t, err)
	texts := func(r Recipe, seed uint64) (out [][2]string) {
		part, err := theory.load(data.Source{Path: path}, r, seed)
		require.NoError(t, err)
		require.Equal(t, 3, part.Info.Groups)
		require.Equal(t, 7, part.Info.Rows)
		for _, p := range part.Pairs {
			c, r := sides(p)
			out = append(out, [2]string{c, r})
		}
		return out
	}
	require.Equal(t, [][2]string{
		{"Late? No.", "Late? bad1"}, {"Late? No.", "Late? bad2"}, {"Late? No.", "Late? bad3"},
		{"Late? Yes.", "Late? bad1"}, {"Late? Yes.", "Late? bad2"}, {"Late? Yes.", "Late? bad3"},
	}, texts(RecipeCross, 0))
	require.Equal(t, texts(RecipeCross, 0), texts("", 0), "cross is the default")
	require.Equal(t, [][2]string{{"Late? No.", "Late? bad1"}, {"Late? Yes.", "Late? bad2"}}, texts(RecipeZip, 0))
	one := map[[2]string]bool{}
	for seed := range uint64(40) {
		got := texts(RecipeOne, seed)
		require.Len(t, got, 1)
		require.Equal(t, got, texts(RecipeOne, seed))
		one[got[0]] = true
	}
	require.Len(t, one, 6, "every pair can be drawn")
	_, err = theory.load(data.Source{Path: path}, RecipeRows, 0)
	require.ErrorContains(t, err, "[cross zip one]")

	part, err := theory.load(data.Source{Path: path}, RecipeZip, 0)
	require.NoError(t, err)
	chosen, rejected := part.Pairs[1].Turns()
	require.Equal(t, []data.Message{{Role: "user", Content: "Late?"}, {Role: "assistant", Content: "Yes."}}, chosen)
	require.Equal(t, "bad2", rejected[1].Content)

	// Pinned: equal pairs have equal hashes on every machine.
	require.Equal(t, "6951fc7925b9af730ee4f83c732947f3252a929e95b3fad1c5d79eceeb1c0054", part.Info.SHA256)
}

func TestVirtueAndUtilitarianForms(t *testing.T) {
	virtue, err := Lookup(Virtue)
	require.NoError(t, err)
	part, err := virtue.load(data.Source{Path: write(t, "v.csv", "label,scenario\n1,She gave. [SEP] kind \n0,She "+
		"gave. [SEP] rude\n")}, "", 0)
	require.NoError(t, err)
	c, r := sides(part.Pairs[0])
	require.Equal(t, "She gave. [SEP] kind", c)
	require.Equal(t, "She gave. [SEP] rude", r)
	turns, _ := part.Pairs[0].Turns()
	require.Equal(t, "She gave.\nWhat trait of character does this show?", turns[0].Content)

	util, err := Lookup(Utilitarianism)
	require.NoError(t, err)
	part, err = util.load(data.Source{Path: write(t, "u.csv", "I ate.,I starved. \nI sat.,I sat. \n")}, "", 0)
	require.NoError(t, err)
	require.Equal(t, 1, part.Info.Identical)
	c, r = sides(part.Pairs[0])
	require.Equal(t, [2]string{"I ate.", "I starved."}, [2]string{c, r})
	turns, _ = part.Pairs[0].Turns()
	require.Equal(t, []data.Message{{Role: "user", Content: "Tell me about something that happened to you."},
		{Role: "assistant", Content: "I ate."}}, turns)
}

// A share of the train file is held out by scenario.
func TestHeldOutShare(t *testing.T) {
	rows := "label,scenario,excuse\n"
	for _, s := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		rows += "1," + s + "?,yes\n0," + s + "?,no\n0," + s + "?,never\n"
	}
	cfg := Default()
	cfg.Theory, cfg.Train.Path, cfg.HeldOutShare = Deontology, write(t, "d.csv", rows), 0.3
	set, err := Load(cfg)
	require.NoError(t, err)
	require.Len(t, set.Train.Pairs, 14)
	require.Len(t, set.HeldOut.Pairs, 6)
	require.Zero(t, set.Overlap.SharedPrompt)
	require.Equal(t, 6, set.Overlap.Clean)
	again, err := Load(cfg)
	require.NoError(t, err)
	require.Equal(t, set.Train.Info, again.Train.Info)

	cfg.Train.Limit, cfg.HeldOut.Limit = 5, 2
	set, err = Load(cfg)
	require.NoError(t, err)
	require.Len(t, set.Train.Pairs, 5)
	require.Len(t, set.HeldOut.Pairs, 2)
	require.Equal(t, 14, set.Train.Info.Built)

	cfg.HeldOut.Path = cfg.Train.Path
	set, err = Load(cfg)
	require.NoError(t, err)
	require.Equal(t, 2, set.Overlap.Pairs)
	cfg.DropOverlap, cfg.Train.Limit = true, 0
	_, err = Load(cfg)
	require.ErrorContains(t, err, "drop_overlap")
	cfg.Train.Path = ""
	_, err = Load(cfg)
	require.ErrorContains(t, err, "train.path")
}
