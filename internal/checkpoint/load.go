package checkpoint

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/ekphrasis-ml/ekphrasis/internal/mmap"
	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

// Param is a parameter of a model: its state-dict name, its shape as in the file, and its values [product of Shape],
// row-major. Load fills Data, Save reads it.
type Param struct {
	Name  string
	Shape []int
	Data  []float32
	// Adopt, if not nil, may be called by Load in place of filling Data: with values in memory that the parameter can
	// have as its own, though the file that they are from must not change. Several parameters may be told at once.
	Adopt func(values []float32)
}

func (p Param) check() {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	if n != len(p.Data) {
		panic(fmt.Sprintf("checkpoint: parameter %q: shape %v, %d values", p.Name, p.Shape, len(p.Data)))
	}
}

// Options says how a checkpoint's tensors become a model's parameters. With the zero value every tensor must be a
// parameter and every parameter a tensor, by the same name.
type Options struct {
	// Rename turns a tensor's name in the file into the parameter's. Nil: they are equal.
	Rename func(name string) string
	// Ignore reports tensors to pass over, such as attention-mask buffers, by their name in the file. Nil: none.
	Ignore func(name string) bool
	// AllowMissing reports parameters that the checkpoint need not have, such as a cross-attention that is yet to be
	// trained. Their values are left as they are. Nil: none.
	AllowMissing func(name string) bool
	// AllowNonFinite accepts NaN and infinite values.
	AllowNonFinite bool
}

// Report lists what Load did.
type Report struct {
	Loaded  []string // parameters, in their order
	Missing []string // parameters that were left as they were, as AllowMissing allows, in their order
	Ignored []string // tensors of the file that Ignore passed over, sorted
}

// Problem is something about one tensor or parameter that keeps a checkpoint from being loaded.
type Problem struct {
	Name string // the parameter's name, or the tensor's if no parameter has it
	What string
}

// LoadError lists everything that keeps a checkpoint from being loaded.
type LoadError struct {
	File     string
	Problems []Problem
}

// Error gives each problem a line.
func (e *LoadError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of the weights do not fit the model:", e.File, len(e.Problems))
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n\t%s: %s", p.Name, p.What)
	}
	return b.String()
}

// Load fills params from the checkpoint.
//
// If parameters are missing, tensors are left over, or shapes or types differ, it returns a *LoadError that lists all
// of it, and no parameter was changed. If values are NaN or infinite, it returns a *LoadError that lists where, and
// if a file cannot be read, another error; the parameters then hold nothing useful. It panics if two parameters share
// a name or if Data does not fit Shape.
func Load(c *Checkpoint, params []Param, o Options) (Report, error) {
	report, sources, err := c.match(params, o)
	if err != nil {
		return Report{}, err
	}
	broken, err := c.readAll(params, sources)
	if err != nil {
		return Report{}, err
	}
	var problems []Problem
	for i, n := range broken {
		if n > 0 && !o.AllowNonFinite {
			problems = append(problems, Problem{params[i].Name, fmt.Sprintf("%d of %d values are NaN or infinite", n, len(params[i].Data))})
		}
	}
	if len(problems) > 0 {
		return Report{}, &LoadError{c.file, problems}
	}
	return report, nil
}

// match finds each parameter's tensor: sources[i] is the name in the file, "" for one that may be missing and is.
func (c *Checkpoint) match(params []Param, o Options) (report Report, sources []string, err error) {
	wanted := map[string]int{}
	for i, p := range params {
		p.check()
		if _, ok := wanted[p.Name]; ok {
			panic(fmt.Sprintf("checkpoint: two parameters are named %q", p.Name))
		}
		wanted[p.Name] = i
	}

	sources = make([]string, len(params))
	found := make([]bool, len(params))
	var leftOver []safetensors.Info // by the parameter's name
	var unexpected, problems []Problem
	for _, source := range c.Names() {
		if o.Ignore != nil && o.Ignore(source) {
			report.Ignored = append(report.Ignored, source)
			continue
		}
		name := source
		if o.Rename != nil {
			name = o.Rename(source)
		}
		info, _ := c.Info(source)
		i, ok := wanted[name]
		switch {
		case !ok:
			leftOver = append(leftOver, safetensors.Info{Name: name, DType: info.DType, Shape: info.Shape})
			unexpected = append(unexpected, Problem{name, fmt.Sprintf("not in the model, found %s %v%s", info.DType, info.Shape, inFile(name, source))})
		case found[i]:
			problems = append(problems, Problem{name, fmt.Sprintf("found twice, as %q and %q", sources[i], source)})
		default:
			sources[i], found[i] = source, true
		}
	}

	for i, p := range params {
		if !found[i] {
			if o.AllowMissing != nil && o.AllowMissing(p.Name) {
				report.Missing = append(report.Missing, p.Name)
				continue
			}
			problems = append(problems, Problem{p.Name, fmt.Sprintf("missing, expected %v%s", p.Shape, didYouMean(suggest(p, leftOver)))})
			continue
		}
		info, _ := c.Info(sources[i])
		if !slices.Equal(info.Shape, p.Shape) {
			problems = append(problems, Problem{p.Name, fmt.Sprintf("shape %v, expected %v%s", info.Shape, p.Shape, inFile(p.Name, sources[i]))})
		}
		if !info.DType.Floats() {
			problems = append(problems, Problem{p.Name, fmt.Sprintf("type %s, expected F32, F16, BF16 or F64%s", info.DType, inFile(p.Name, sources[i]))})
		}
		report.Loaded = append(report.Loaded, p.Name)
	}
	if problems = append(problems, unexpected...); len(problems) > 0 {
		return Report{}, nil, &LoadError{c.file, problems}
	}
	return report, sources, nil
}

// inFile tells a renamed tensor's name in the file.
func inFile(name, source string) string {
	if name == source {
		return ""
	}
	return fmt.Sprintf(" (%q in the file)", source)
}

// suggest returns the left-over tensor that a missing parameter may be, or "". Shapes must be equal.
func suggest(p Param, leftOver []safetensors.Info) string {
	var names []string
	for _, info := range leftOver {
		if slices.Equal(info.Shape, p.Shape) {
			names = append(names, info.Name)
		}
	}
	return closest(p.Name, names)
}

// readAll reads the tensors, several at a time, and counts each one's NaN and infinite values.
func (c *Checkpoint) readAll(params []Param, sources []string) (nonFinite []int, err error) {
	nonFinite = make([]int, len(params))
	errs := make([]error, len(params))
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(params)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(params); i = int(next.Add(1)) - 1 {
				if sources[i] == "" {
					continue
				}
				nonFinite[i], errs[i] = c.read(sources[i], params[i])
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return nonFinite, nil
}

// read gives a parameter the values of a tensor and counts the NaN and infinite ones.
func (c *Checkpoint) read(source string, p Param) (nonFinite int, err error) {
	if p.Adopt != nil {
		if values, ok := c.inPlace(source); ok {
			p.Adopt(values)
			// Piece by piece: nobody knows when they will be needed, and all at once would be a peak.
			for piece := range slices.Chunk(values, 1<<20) {
				nonFinite += countNonFinite(piece)
				mmap.Release(piece)
			}
			return nonFinite, nil
		}
	}
	err = c.Read(source, p.Data)
	return countNonFinite(p.Data), err
}

func countNonFinite(values []float32) (n int) {
	if kernel.AllFinite(values) {
		return 0
	}
	for _, v := range values {
		if v-v != 0 {
			n++
		}
	}
	return n
}
