package kernel

import (
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// onEveryCPU calls f with each instruction set that the machine has in use, plain Go included.
func onEveryCPU(f func(name string)) {
	defer func(old *simd) { cpu = old }(cpu)
	for _, s := range append(append(available(), variants()...), nil) {
		cpu = s
		f(CPU())
	}
}

// testOnEveryCPU runs a subtest on each.
func testOnEveryCPU(t *testing.T, f func(t *testing.T)) {
	onEveryCPU(func(name string) { t.Run(name, f) })
}

// onThreads calls f with one goroutine and with several.
func onThreads(f func(n int)) {
	defer SetThreads(0)
	for _, n := range []int{1, 2, 5} {
		SetThreads(n)
		f(n)
	}
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func random[T Float](rng *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(rng.NormFloat64())
	}
	return x
}

func double(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func clone[T Float](x []T) []T { return append([]T(nil), x...) }

// same reports the first element of which the bits differ.
func same[T Float](t *testing.T, what string, got, want []T) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s[%d]: got %v, want exactly %v", what, i, got[i], want[i])
		}
	}
}

// near reports the first element of which the difference exceeds tolerance·(1+|want|).
func near[T Float](t *testing.T, what string, got []T, want []float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(float64(got[i])-want[i]) <= tolerance*(1+math.Abs(want[i]))) {
			t.Fatalf("%s[%d]: got %v, want %v", what, i, got[i], want[i])
		}
	}
}

// slope is the central difference of f along x[i].
func slope(x []float64, i int, f func() float64) float64 {
	const h = 1e-6
	old := x[i]
	x[i] = old + h
	up := f()
	x[i] = old - h
	down := f()
	x[i] = old
	return (up - down) / (2 * h)
}

// slopes is the central difference along every element.
func slopes(x []float64, f func() float64) []float64 {
	d := make([]float64, len(x))
	for i := range x {
		d[i] = slope(x, i, f)
	}
	return d
}

func panics(f func()) (message string) {
	defer func() { message, _ = recover().(string) }()
	f()
	return ""
}

func TestTheEnvironmentChoosesTheInstructionSet(t *testing.T) {
	if name := os.Getenv("KERNEL_TEST_PRINT_CPU"); name != "" {
		os.Stdout.WriteString("cpu=" + CPU() + "\n")
		return
	}
	run := func(name string) (string, error) {
		c := exec.Command(os.Args[0], "-test.run=^TestTheEnvironmentChoosesTheInstructionSet$")
		c.Env = append(os.Environ(), "KERNEL_TEST_PRINT_CPU=1", "EKPHRASIS_CPU="+name)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	onEveryCPU(func(name string) {
		if out, err := run(name); err != nil || !strings.Contains(out, "cpu="+name+"\n") {
			t.Errorf("EKPHRASIS_CPU=%s: %v, %s", name, err, out)
		}
	})
	out, err := run("sse9")
	if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != 2 || !strings.Contains(out, "EKPHRASIS_CPU=sse9") || !strings.Contains(out, "generic") {
		t.Errorf("EKPHRASIS_CPU=sse9: %v, %s", err, out)
	}
}
