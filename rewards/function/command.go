package function

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Command says how a program is run. It is started once and reads a question a line from its standard
// input, until that ends; it writes an answer a line to its standard output.
type Command struct {
	// Args are the program and its arguments.
	Args []string
	// Dir is the folder that it runs in; "" is the current one.
	Dir string
	// Env is added to the environment that it inherits.
	Env map[string]string
	// Timeout is how long an answer may take from when the program was asked, or from its answer before.
	// StartTimeout is that for the first answer of a program that was just started. More than 0 both.
	Timeout, StartTimeout time.Duration
	// Restart is how many times in all a program that ended or hung is started anew. What it had not
	// answered is asked again.
	Restart int
	// Concurrency is the number of copies that run; 0 is one.
	Concurrency int
	// Ahead is the number of questions that a copy has before it at once; 0 is as many as there are for a
	// copy that is alone, and 2 of several.
	Ahead int
	// Scores names the scores that it gives; none: it gives one.
	Scores []string
	// Fields are the columns of the row that it is given; none: all.
	Fields []string
	// Log is a file to which its standard error is appended; "": it is not kept.
	Log string
	// Note is told what the user has to know, such as a restart; may be nil.
	Note func(text string)
}

// The bounds of questions that a copy has before it.
const (
	aheadAlone  = 1024
	aheadShared = 2
)

// command is a running program.
type command struct {
	Command
	name    string
	columns []string
	copies  []*process
	events  chan event
	log     *stderrLog
	nextID  int64
	started int   // restarts so far
	failed  error // what ended it
}

// OpenCommand starts a program as the reward of a name.
func OpenCommand(name string, c Command) (Function, error) {
	c.Concurrency = max(1, c.Concurrency)
	if c.Ahead == 0 {
		c.Ahead = aheadShared
		if c.Concurrency == 1 {
			c.Ahead = aheadAlone
		}
	}
	p := &command{Command: c, name: name, columns: columnsOf(name, c.Scores), events: make(chan event, 64)}
	var err error
	if p.log, err = openStderrLog(c.Log); err != nil {
		return nil, fmt.Errorf("reward %s: %w", name, err)
	}
	for len(p.copies) < c.Concurrency {
		started, err := p.start(len(p.copies))
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.copies = append(p.copies, started)
	}
	return p, nil
}

// start starts copy number i.
func (p *command) start(i int) (*process, error) {
	prefix := ""
	if p.Concurrency > 1 {
		prefix = fmt.Sprintf("[%d] ", i+1)
	}
	started, err := startProcess(&p.Command, p.events, p.log, prefix)
	if err != nil {
		return nil, &Error{Reward: p.name, What: fmt.Sprintf("%s does not start", p.shown()), Err: err,
			Mend: "look at command and dir, and whether the file is there and may be executed"}
	}
	return started, nil
}

// shown is the command line as errors show it.
func (p *command) shown() string { return `"` + strings.Join(p.Args, " ") + `"` }

// Names implements Function.
func (p *command) Names() []string { return slices.Clone(p.columns) }

// Score implements Function. A program that failed once has ended, and stays so.
func (p *command) Score(ctx context.Context, samples []Sample) ([][]float64, error) {
	if p.failed != nil {
		return nil, p.failed
	}
	r := &round{command: p, samples: samples, out: table(len(p.columns), len(samples))}
	for i := range samples {
		r.queue = append(r.queue, i)
	}
	if err := r.run(ctx); err != nil {
		p.failed = err
		for _, c := range p.copies {
			c.kill()
		}
		return nil, err
	}
	return r.out, nil
}

// Close ends the input of all copies, and whatever does not end by that.
func (p *command) Close() error {
	for _, c := range p.copies {
		c.in.end()
	}
	var errs []error
	for _, c := range p.copies {
		c.finish()
	}
	if p.failed == nil {
		errs = append(errs, p.strays())
	}
	p.copies = nil
	return errors.Join(append(errs, p.log.close())...)
}

// strays tells of lines that nobody asked for.
func (p *command) strays() error {
	for {
		select {
		case e := <-p.events:
			if e.line != nil {
				return p.stray(e)
			}
		default:
			return nil
		}
	}
}

func (p *command) stray(e event) error {
	return p.fail(e.from, nil, fmt.Sprintf("%s wrote %s when it was asked nothing", p.shown(), show(e.line)),
		"one line on standard output for each line that it reads", mendStdout, nil)
}

const mendStdout = "what is no answer belongs on standard error: print(..., file=sys.stderr) in Python"

// fail makes an error about a sample, nil for none, with what the copy wrote to standard error.
func (p *command) fail(from *process, s *Sample, what, want, mend string, cause error) *Error {
	return &Error{Reward: p.name, Sample: s, What: what, Want: want, Mend: mend, Err: cause,
		Stderr: from.tail.lines(), Log: p.Log}
}

// round is one call of Score.
type round struct {
	*command
	samples  []Sample
	queue    []int // samples that nobody was asked about
	answered int
	out      [][]float64
}

// run asks about every sample and waits for the answers.
func (r *round) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for r.answered < len(r.samples) {
		// What was written before anything was asked is no answer.
		if err := r.hear(); err != nil || r.answered == len(r.samples) {
			return err
		}
		if err := r.ask(); err != nil {
			return err
		}
		next := r.nextDue()
		timer.Reset(time.Until(next.due))
		select {
		case e := <-r.events:
			if err := r.handle(e); err != nil {
				return err
			}
		case <-timer.C:
			if err := r.late(next); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// hear handles what has happened already.
func (r *round) hear() error {
	for {
		select {
		case e := <-r.events:
			if err := r.handle(e); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// ask gives copies questions as long as they have room for them.
func (r *round) ask() error {
	for _, c := range r.copies {
		for len(c.asked) < r.Ahead && len(r.queue) > 0 {
			i := r.queue[0]
			line, err := ask(r.nextID, &r.samples[i], r.Fields)
			if err != nil {
				return &Error{Reward: r.name, Sample: &r.samples[i], What: "the sample cannot be written as JSON",
					Err: err}
			}
			r.queue = r.queue[1:]
			c.ask(r.nextID, i, line)
			r.nextID++
		}
	}
	return nil
}

// nextDue is the copy whose answer is due first; there is one that was asked.
func (r *round) nextDue() *process {
	return slices.MinFunc(r.copies, func(a, b *process) int {
		if busyA, busyB := len(a.asked) > 0, len(b.asked) > 0; busyA != busyB {
			if busyA {
				return -1
			}
			return 1
		}
		return a.due.Compare(b.due)
	})
}

// handle takes an answer, or the news of a copy's end.
func (r *round) handle(e event) error {
	if !slices.Contains(r.copies, e.from) {
		return nil // of a copy that was replaced
	}
	if e.line == nil {
		return r.ended(e)
	}
	if e.long {
		return r.fail(e.from, r.first(e.from), fmt.Sprintf("%s wrote a line of more than %d bytes", r.shown(),
			maxAnswerBytes), wantOf(r.Scores), mendStdout, nil)
	}
	if len(e.from.asked) == 0 {
		return r.stray(e)
	}
	answer, err := parseReply(e.line, r.Scores)
	if answer.hasID || err == nil {
		i, unknown := e.from.match(answer)
		if unknown != nil {
			return r.fail(e.from, r.first(e.from), fmt.Sprintf("%s %v", r.shown(), unknown), wantOf(r.Scores),
				"give each answer the id of its question, or none at all and answer in order", nil)
		}
		if err == nil {
			r.answered++
			for k, x := range answer.scores {
				r.out[k][i] = x
			}
			return nil
		}
		return r.malformed(e, &r.samples[i], err)
	}
	return r.malformed(e, r.first(e.from), err)
}

func (r *round) malformed(e event, s *Sample, err error) error {
	return r.fail(e.from, s, fmt.Sprintf("%s %v", r.shown(), err), wantOf(r.Scores), mendStdout, nil)
}

// first is the sample that a copy was asked about first and has not answered; nil: none.
func (r *round) first(c *process) *Sample {
	if len(c.asked) == 0 {
		return nil
	}
	return &r.samples[c.asked[0].sample]
}

// ended is told that a copy has ended.
func (r *round) ended(e event) error {
	mend := "look at what it wrote to standard error"
	if e.clean {
		mend = "it has to read until its standard input ends, and to answer each line"
	}
	return r.replace(e.from, fmt.Sprintf("%s %s", r.shown(), e.how), "", mend)
}

// late is told that a copy's answer is overdue.
func (r *round) late(c *process) error {
	limit := r.Timeout
	key := "timeout"
	if c.fresh {
		limit, key = r.StartTimeout, "start_timeout"
	}
	return r.replace(c, fmt.Sprintf("%s did not answer within %v", r.shown(), limit), "",
		fmt.Sprintf("raise %s, or look whether it hangs or holds back what it prints (print(..., flush=True) in "+
			"Python)", key))
}

// replace starts a copy anew, if that is still allowed, and asks again what it has not answered.
func (r *round) replace(c *process, what, want, mend string) error {
	open := len(c.asked)
	if r.started >= r.Restart {
		if r.Restart == 0 {
			mend += "; restart: 1 would start it anew once"
		} else {
			mend += fmt.Sprintf("; it was started anew %d times, which is what restart allows", r.started)
		}
		if open > 1 {
			what += fmt.Sprintf(", with this and %d more samples before it", open-1)
		}
		return r.fail(c, r.first(c), what, want, mend, nil)
	}
	c.kill()
	c.finish()
	r.started++
	if r.Note != nil {
		r.Note(fmt.Sprintf("warning: reward %s: %s with %d samples unanswered: it is started anew (restart %d of %d)",
			r.name, what, open, r.started, r.Restart))
	}
	again := make([]int, 0, open+len(r.queue))
	for _, a := range c.asked {
		again = append(again, a.sample)
	}
	r.queue = append(again, r.queue...)
	i := slices.Index(r.copies, c)
	started, err := r.start(i)
	if err != nil {
		return err
	}
	r.copies[i] = started
	return nil
}

// asked is a question that a copy has before it.
type asked struct {
	id     int64
	sample int
}

// ask gives the copy a question.
func (c *process) ask(id int64, sample int, line []byte) {
	if len(c.asked) == 0 {
		c.due = time.Now().Add(c.limit())
	}
	c.asked = append(c.asked, asked{id, sample})
	c.in.write(line)
}

// limit is how long the next answer may take.
func (c *process) limit() time.Duration {
	if c.fresh {
		return c.startTimeout
	}
	return c.timeout
}

// match finds which sample a reply is about, and takes it off the copy.
func (c *process) match(r reply) (sample int, unknown error) {
	if c.tellsIDs == nil {
		c.tellsIDs = &r.hasID
	}
	if *c.tellsIDs != r.hasID {
		return 0, fmt.Errorf("gave an answer %s an id after one %s", with(r.hasID), with(*c.tellsIDs))
	}
	at := 0
	if r.hasID {
		at = slices.IndexFunc(c.asked, func(a asked) bool { return a.id == r.id })
	}
	if at < 0 {
		return 0, fmt.Errorf("gave an answer to the id %d, which it was not asked or has answered", r.id)
	}
	sample = c.asked[at].sample
	c.asked = slices.Delete(c.asked, at, at+1)
	c.fresh = false
	c.due = time.Now().Add(c.timeout)
	return sample, nil
}

func with(there bool) string {
	if there {
		return "with"
	}
	return "without"
}
