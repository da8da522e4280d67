package cli

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestWithoutATerminalProgressIsPlainLinesNowAndThen(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, false, "training", "pairs", 40)
	p.Add(10, "loss 2.5")
	if out.Len() > 0 {
		t.Errorf("a line before its time: %q", out.String())
	}
	p.interval = 0
	p.start = p.start.Add(-10 * time.Second)
	p.Add(10, "loss 1.5")
	p.Clear()
	p.Add(20, "")
	p.Done()
	want := regexp.MustCompile(`^training  20/40  loss 1\.5  (2\.0|1\.9) pairs/s  1[01]s left\ntraining  40/40  (4\.0|3\.9) pairs/s  0s left\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("progress is\n%s", out.String())
	}
}

func TestOnATerminalProgressIsABarThatIsTakenAway(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, true, "training", "pairs", 40)
	p.Add(10, "loss 2.5")
	time.Sleep(150 * time.Millisecond) // the bar is drawn every 0.1 s
	p.Add(10, "loss 1.5")
	shown := out.String()
	for _, want := range []string{"\r", "training  loss 1.5", "50%"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in the bar %q", want, shown)
		}
	}
	rate := regexp.MustCompile(`20/40, (\d+) pairs/s`).FindStringSubmatch(shown)
	if rate == nil {
		t.Fatalf("no rate in the bar %q", shown)
	}
	if n, _ := strconv.Atoi(rate[1]); n < 1 || n > 134 { // 20 in 150 ms or more
		t.Errorf("%d pairs/s in the bar %q", n, shown)
	}
	if strings.Contains(shown, "\n") {
		t.Errorf("the bar is more than a line: %q", shown)
	}
	p.Clear()
	fmt.Fprint(&out, "a message")
	p.Done()
	if last := out.String()[strings.LastIndex(out.String(), "\r")+1:]; strings.Contains(last, "training") {
		t.Errorf("the bar is left on the screen: %q", out.String())
	}
}

func TestWhatAnEarlierRunDidIsNotCounted(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out bytes.Buffer
		p := newProgress(&out, terminal, "training", "pairs", 40)
		p.interval = 0
		p.Skip(30)
		time.Sleep(150 * time.Millisecond)
		p.Add(5, "")
		if !strings.Contains(out.String(), "5/10") {
			t.Errorf("terminal %v: %q", terminal, out.String())
		}
		p.Done()

		done := newProgress(&out, terminal, "training", "pairs", 40) // a run that was finished is resumed
		done.Skip(40)
		done.Done()
	}
}

func TestErrorsOfTheCommandLineAreOfUsage(t *testing.T) {
	var c Common
	parse := func(args ...string) error {
		f := Flags("command [flags]", "About it.")
		c.Add(f)
		if err := Parse(f, args); err != nil {
			return err
		}
		return c.Apply()
	}
	for _, args := range [][]string{{"--what"}, {"--seed", "x"}, {"--threads", "-1"}, {"--json=maybe"}} {
		var u Usage
		if err := parse(args...); !errors.As(err, &u) || !strings.Contains(err.Error(), strings.TrimSuffix(args[0], "=maybe")) {
			t.Errorf("%v: error %v", args, err)
		}
	}
	if err := parse("-h"); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("-h: error %v", err)
	}
	if err := parse("--seed", "7", "--threads", "2", "--json"); err != nil || c.Seed != 7 || c.Threads != 2 || !c.JSON {
		t.Errorf("%+v, %v", c, err)
	}
	if err := parse("--threads", "0"); err != nil {
		t.Error(err)
	}
	if err := Usagef("--x: %w", errStop); !errors.Is(err, errStop) || err.Error() != "--x: stop" {
		t.Errorf("error %v", err)
	}
}

var errStop = errors.New("stop")
