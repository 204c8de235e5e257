package function

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test's own program play the user's.
func TestMain(m *testing.M) {
	if mode := os.Getenv("REWARD_TEST_PROGRAM"); mode != "" {
		play(mode)
		return
	}
	os.Exit(m.Run())
}

// play answers questions in one of the ways that programs have.
func play(mode string) {
	in := bufio.NewReader(os.Stdin)
	var kept []string
	for n := 0; ; n++ {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		var q struct {
			ID     int64
			Answer string
			Fields map[string]any
		}
		if err := json.Unmarshal([]byte(line), &q); err != nil {
			fmt.Fprintln(os.Stderr, "bad question:", err)
			os.Exit(3)
		}
		score := float64(len(q.Answer))
		switch mode {
		case "number":
			fmt.Println(score)
		case "ids": // pairs in reversed order
			kept = append(kept, fmt.Sprintf(`{"id": %d, "score": %g}`, q.ID, score))
			if len(kept) == 2 {
				fmt.Println(kept[1])
				fmt.Println(kept[0])
				kept = nil
			}
		case "scores":
			fmt.Printf("{\"scores\": {\"a\": %g, \"b\": null}, \"note\": \"mine\"}\n", score)
		case "field":
			fmt.Println(q.Fields["gold"])
		case "null":
			fmt.Println("null")
		case "crash":
			if n == 2 {
				fmt.Fprintln(os.Stderr, "out of luck")
				os.Exit(7)
			}
			fmt.Println(score)
		case "crash-once":
			if _, err := os.Stat(os.Getenv("REWARD_TEST_MARK")); n == 1 && err != nil {
				_ = os.WriteFile(os.Getenv("REWARD_TEST_MARK"), nil, 0o666)
				os.Exit(7)
			}
			fmt.Println(score)
		case "hang":
			if n == 1 {
				time.Sleep(time.Hour)
			}
			fmt.Println(score)
		case "prose":
			fmt.Println("the score is", score)
		case "nan":
			fmt.Println(`{"score": NaN}`)
		case "unknown-id":
			fmt.Printf("{\"id\": %d, \"score\": 1}\n", q.ID+1000)
		case "pid":
			fmt.Println(os.Getpid())
		}
	}
}

func program(t *testing.T, mode string, change ...func(*Command)) Function {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	c := Command{Args: []string{exe}, Env: map[string]string{"REWARD_TEST_PROGRAM": mode}, Timeout: 20 * time.Second,
		StartTimeout: 30 * time.Second}
	for _, f := range change {
		f(&c)
	}
	f, err := OpenCommand("r", c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func samples(answers ...string) (out []Sample) {
	for i, a := range answers {
		out = append(out, Sample{ID: fmt.Sprintf("line %d", i+1), Prompt: "say\nit", Answer: a,
			Fields: map[string]any{"gold": float64(i)}})
	}
	return out
}

func TestPrograms(t *testing.T) {
	xs := samples("", "a", "bb", "ccc", "dddd", "eeeee")
	want := [][]float64{{0, 1, 2, 3, 4, 5}}
	for _, mode := range []string{"number", "ids"} {
		f := program(t, mode)
		for range 2 { // it is started once
			got, err := f.Score(t.Context(), xs)
			require.NoError(t, err, mode)
			require.Equal(t, want, got, mode)
		}
		require.NoError(t, f.Close())
	}
	got, err := program(t, "number", func(c *Command) { c.Concurrency = 3 }).Score(t.Context(), xs)
	require.NoError(t, err)
	require.Equal(t, want, got, "three copies")
	got, err = program(t, "field").Score(t.Context(), xs)
	require.NoError(t, err)
	require.Equal(t, want, got, "columns of the row")

	f := program(t, "scores", func(c *Command) { c.Scores = []string{"a", "b"} })
	require.Equal(t, []string{"r.a", "r.b"}, f.Names())
	got, err = f.Score(t.Context(), xs)
	require.NoError(t, err)
	require.Equal(t, want[0], got[0])
	require.True(t, math.IsNaN(got[1][3]), "null is not scored")
	got, err = program(t, "null").Score(t.Context(), xs[:1])
	require.NoError(t, err)
	require.True(t, math.IsNaN(got[0][0]))
}

func TestProgramsThatFail(t *testing.T) {
	for mode, want := range map[string][]string{
		"crash":      {`line 3 (prompt "say`, "exit status 7", "restart: 1 would start it anew once", "out of luck"},
		"prose":      {"line 1", `gave "the score is 0", which is no JSON`, "print(..., file=sys.stderr)"},
		"nan":        {"NaN is no number in JSON"},
		"unknown-id": {"gave an answer to the id 1000, which it was not asked"},
		"scores":     {`gave named scores, which are not listed under "scores"`},
	} {
		_, err := program(t, mode).Score(t.Context(), samples("", "a", "bb", "ccc"))
		require.ErrorIs(t, err, ErrReward, mode)
		for _, w := range want {
			require.ErrorContains(t, err, w, mode)
		}
	}
	_, err := program(t, "hang", func(c *Command) { c.Timeout = 300 * time.Millisecond }).
		Score(t.Context(), samples("", "a"))
	require.ErrorContains(t, err, "line 2")
	require.ErrorContains(t, err, "did not answer within 300ms; raise timeout")
	_, err = OpenCommand("r", Command{Args: []string{"/no/such/program"}, Timeout: 1, StartTimeout: 1})
	require.ErrorContains(t, err, `"/no/such/program" does not start`)
}

// A program that died is started anew, and asked again what it had not answered.
func TestRestart(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	var said []string
	f := program(t, "crash-once", func(c *Command) {
		c.Env["REWARD_TEST_MARK"], c.Restart = mark, 1
		c.Note = func(text string) { said = append(said, text) }
	})
	got, err := f.Score(t.Context(), samples("", "a", "bb"))
	require.NoError(t, err)
	require.Equal(t, [][]float64{{0, 1, 2}}, got)
	require.Len(t, said, 1)
	require.Contains(t, said[0], "it is started anew (restart 1 of 1)")
}

// What a program writes to standard error is kept.
func TestStandardErrorIsKept(t *testing.T) {
	log := filepath.Join(t.TempDir(), "deep", "reward.log")
	f := program(t, "crash", func(c *Command) { c.Log = log })
	_, err := f.Score(t.Context(), samples("", "a", "bb"))
	require.ErrorContains(t, err, log)
	require.NoError(t, f.Close())
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(text), "out of luck\n")
}

// A program ends with the function.
func TestProgramsEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	f := program(t, "pid")
	got, err := f.Score(t.Context(), samples(""))
	require.NoError(t, err)
	pid := strconv.Itoa(int(got[0][0]))
	require.DirExists(t, "/proc/"+pid)
	require.NoError(t, f.Close())
	require.NoDirExists(t, "/proc/"+pid)
}

func TestHTTP(t *testing.T) {
	var calls atomic.Int64
	busy := int64(0)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		if n <= busy {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		var q struct{ Answer string }
		_ = json.NewDecoder(r.Body).Decode(&q)
		switch {
		case r.Header.Get("Token") != "x":
			http.Error(w, "who are you", http.StatusForbidden)
		case q.Answer == "odd":
			fmt.Fprint(w, `{"score": "good"}`)
		default:
			fmt.Fprintf(w, `{"score": %d}`, len(q.Answer))
		}
	}))
	defer server.Close()
	h := HTTP{URL: server.URL, Header: map[string]string{"Token": "x"}, Timeout: 10 * time.Second, Concurrency: 4,
		Retries: 3, Wait: time.Millisecond}
	f, err := OpenHTTP("r", h)
	require.NoError(t, err)
	got, err := f.Score(t.Context(), samples("", "a", "bb", "ccc", "dddd"))
	require.NoError(t, err)
	require.Equal(t, [][]float64{{0, 1, 2, 3, 4}}, got)

	calls.Store(0)
	busy = 2
	got, err = f.Score(t.Context(), samples("abc"))
	require.NoError(t, err)
	require.Equal(t, [][]float64{{3}}, got, "a busy server is asked again")
	calls.Store(0)
	busy = 100
	_, err = f.Score(t.Context(), samples("abc"))
	require.ErrorContains(t, err, "503 Service Unavailable")
	require.ErrorContains(t, err, "it was sent 4 times (retries: 3)")
	busy = 0
	_, err = f.Score(t.Context(), samples("a", "odd"))
	require.ErrorIs(t, err, ErrReward)
	require.ErrorContains(t, err, `line 2 (prompt "say`)
	calls.Store(0)
	h.Header = nil
	f, err = OpenHTTP("r", h)
	require.NoError(t, err)
	_, err = f.Score(t.Context(), samples("a"))
	require.ErrorContains(t, err, "403 Forbidden")
	require.Equal(t, int64(1), calls.Load(), "a request that is refused is not sent again")
	_, err = OpenHTTP("r", HTTP{URL: "localhost:80/score"})
	require.ErrorContains(t, err, "want the address of a server")
}

func ruleScores(t *testing.T, open func(string) (Function, error), xs []Sample) []float64 {
	t.Helper()
	f, err := open("r")
	require.NoError(t, err)
	got, err := f.Score(t.Context(), xs)
	require.NoError(t, err)
	return got[0]
}

func TestRules(t *testing.T) {
	half := 0.5
	require.Equal(t, []float64{1, 0.5}, ruleScores(t, (&Regex{Pattern: `\d+`, NoMatch: &half}).Open,
		samples("a 12", "b")))
	require.Equal(t, []float64{1, 0},
		ruleScores(t, (&Regex{Pattern: `\d+`, Full: true}).Open, samples(" 12\n", "a 12")))
	require.Equal(t, []float64{-0.02, 0, -0.01, -1},
		ruleScores(t, (&Length{Unit: Words, Min: 3, Max: 4}).Open, samples("one", "one two three", "1 2 3 4 5",
			strings.Repeat("x ", 500))))
	xs := samples("aa", "é")
	xs[0].Tokens = []int32{1, 2, 3}
	require.Equal(t, []float64{-0.01}, ruleScores(t, (&Length{Max: 2}).Open, xs[:1]), "tokens where nothing is said")
	require.Equal(t, []float64{0, 0}, ruleScores(t, (&Length{Unit: Characters, Max: 2}).Open, xs))
	require.Equal(t, []float64{0, -0.5}, ruleScores(t, (&Repetition{N: 2}).Open, samples("a b c", "a b a b a")))
	for _, f := range []func(string) (Function, error){
		(&Regex{}).Open, (&Regex{Pattern: "("}).Open, (&Length{}).Open, (&Length{Min: 3, Max: 2}).Open,
		(&Repetition{N: -1}).Open, (&NumberMatch{Pattern: "("}).Open, (&NumberMatch{Tolerance: -1}).Open,
	} {
		_, err := f("r")
		require.Error(t, err)
	}
}

func TestMatches(t *testing.T) {
	of := func(answer string, gold any) []Sample {
		return []Sample{{ID: "line 7", Answer: answer, Fields: map[string]any{"answer": gold, "other": "x"}}}
	}
	exact := &ExactMatch{IgnoreCase: true, IgnorePunctuation: true, IgnoreArticles: true}
	require.Equal(t, []float64{1}, ruleScores(t, exact.Open, of(" The  cat. ", "cat")))
	require.Equal(t, []float64{0}, ruleScores(t, (&ExactMatch{}).Open, of("The cat", "cat")))
	for _, c := range []struct {
		answer string
		gold   any
		want   float64
	}{
		{"2 + 3 = 5", "5", 1}, {"It is 1,234.50.", 1234.5, 1}, {"3/4", "0.75", 1}, {"-7", "7", 0}, {"−7", "-7", 1},
		{"no idea", "7", 0}, {"so 12", "He has 3 + 9.\n#### 12", 1}, {"0.1", json.Number("0.1"), 1}, {"1e2", "100", 1},
		{"5 apples and 6", "6", 1}, {"(5)", "5", 1}, {"1.", "1", 1},
	} {
		require.Equal(t, []float64{c.want}, ruleScores(t, (&NumberMatch{}).Open, of(c.answer, c.gold)), "%q %v",
			c.answer,
			c.gold)
	}
	require.Equal(t, []float64{1}, ruleScores(t, (&NumberMatch{Pattern: `answer is (\S+)`}).Open,
		of("the answer is 5, not 6", "5")))
	require.Equal(t, []float64{1}, ruleScores(t, (&NumberMatch{Tolerance: 0.01}).Open, of("3.14", "3.1415926")))

	f, err := (&NumberMatch{Field: "result"}).Open("sums")
	require.NoError(t, err)
	err = f.(Checker).Check(of("", 1)[0])
	require.ErrorIs(t, err, ErrReward)
	require.ErrorContains(t, err, `reward sums: line 7`)
	require.ErrorContains(t, err,
		`its row has no column "result": want one of its other columns, which are ["answer" "other"]`)
	f, err = (&NumberMatch{}).Open("sums")
	require.NoError(t, err)
	require.ErrorContains(t, f.(Checker).Check(of("", "many")[0]), "its column answer holds no number")
}
