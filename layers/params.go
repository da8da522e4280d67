package layers

import (
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ekphrasis-ml/ekphrasis/internal/editdistance"
	"github.com/ekphrasis-ml/ekphrasis/internal/kernel"
	"github.com/nlpodyssey/spago/mat"
	"github.com/nlpodyssey/spago/mat/float"
	"github.com/nlpodyssey/spago/nn"
)

// Parameter is a parameter of a model under the name that it has in a Hugging
// Face checkpoint.
type Parameter struct {
	Name  string
	Value *nn.Param
	Shape []int // in the checkpoint: a bias is [n], a convolution [out, in, height, width]
}

// ParamShaper is implemented by a module that holds a parameter in another
// shape than its checkpoint's; nil means that the field is as it looks.
type ParamShaper interface {
	// ParamShape returns the checkpoint's shape of the parameter tagged name.
	ParamShape(name string) []int
}

// Parameters lists the parameters of a model in the order of its fields, each
// once: a parameter that two modules share stands under its first name.
//
// A field is visited if it has a tag `param:"name"`, which is appended to the
// name of the module that holds it, with a dot; the elements of a slice add
// their index. `param:""` adds nothing. `param:"name,vector"` is a parameter
// with one dimension. Nil fields are left out.
func Parameters(model any) []Parameter {
	var w walk
	w.value(reflect.ValueOf(model), "")
	return w.found
}

type walk struct {
	found  []Parameter
	module func(module any) // called with a pointer to each struct, unless nil
}

var paramType = reflect.TypeFor[*nn.Param]()

func (w *walk) value(v reflect.Value, name string) {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			w.value(v.Index(i), join(name, strconv.Itoa(i)))
		}
	case reflect.Struct:
		if w.module != nil && v.CanAddr() {
			w.module(v.Addr().Interface())
		}
		w.fields(v, name)
	}
}

func (w *walk) fields(v reflect.Value, name string) {
	for i := range v.NumField() {
		tag, ok := v.Type().Field(i).Tag.Lookup("param")
		if !ok {
			continue
		}
		last, option, _ := strings.Cut(tag, ",")
		field := v.Field(i)
		if field.Type() != paramType {
			w.value(field, join(name, last))
			continue
		}
		p := field.Interface().(*nn.Param)
		if p == nil || slices.ContainsFunc(w.found, func(q Parameter) bool { return q.Value == p }) {
			continue
		}
		w.found = append(w.found, Parameter{Name: join(name, last), Value: p, Shape: shapeOf(v, last, option, p)})
	}
}

func shapeOf(module reflect.Value, name, option string, p *nn.Param) []int {
	if option == "vector" {
		return []int{p.Size()}
	}
	if module.CanAddr() {
		if s, ok := module.Addr().Interface().(ParamShaper); ok {
			if shape := s.ParamShape(name); shape != nil {
				return shape
			}
		}
	}
	return slices.Clone(p.Shape())
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "." + b
}

// Trainable makes the parameters trained whose names match one of the
// patterns, and freezes all others: a frozen parameter gets no gradient and
// no optimiser state.
//
// A pattern is matched against each name and against each run of its
// dot-separated parts, so "crossattention" finds
// "decoder.transformer.h.0.crossattention.c_attn.weight", and "h.1" all of
// block 1. It may have the wildcards * (any run of characters, dots included),
// ? and [abc]. "re:EXPR" is a regular expression that must be found in the
// name. A pattern that matches nothing is an error that lists near names, and
// then nothing is changed.
func Trainable(model any, patterns ...string) error {
	params := Parameters(model)
	matched, err := Match(params, patterns...)
	if err != nil {
		return err
	}
	for i, p := range params {
		if err := checkTrainable(p); err != nil && matched[i] {
			return err
		}
	}
	for i, p := range params {
		p.Value.SetRequiresGrad(matched[i])
	}
	return nil
}

// Match reports for each parameter whether its name matches one of the
// patterns of [Trainable].
func Match(params []Parameter, patterns ...string) ([]bool, error) {
	matched := make([]bool, len(params))
	for _, pattern := range patterns {
		match, err := matcher(pattern)
		if err != nil {
			return nil, err
		}
		any := false
		for i, p := range params {
			if match(p.Name) {
				matched[i], any = true, true
			}
		}
		if !any {
			return nil, fmt.Errorf("pattern %q matches none of the %d parameters; near it: %s",
				pattern, len(params), strings.Join(near(pattern, params), ", "))
		}
	}
	return matched, nil
}

func matcher(pattern string) (func(name string) bool, error) {
	if expr, ok := strings.CutPrefix(pattern, "re:"); ok {
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		return re.MatchString, nil
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return func(name string) bool {
		parts := strings.Split(name, ".")
		for i := range parts {
			for j := i + 1; j <= len(parts); j++ {
				// Dots are ordinary characters to path.Match, and names have no slash.
				if ok, _ := path.Match(pattern, strings.Join(parts[i:j], ".")); ok {
					return true
				}
			}
		}
		return false
	}, nil
}

// near lists the parts of names, or whole names, that look most like pattern.
func near(pattern string, params []Parameter) []string {
	best := map[string]int{}
	for _, p := range params {
		for _, part := range append(strings.Split(p.Name, "."), p.Name) {
			if _, err := strconv.Atoi(part); err != nil {
				best[part] = editdistance.Levenshtein([]byte(pattern), []byte(part))
			}
		}
	}
	names := make([]string, 0, len(best))
	for name := range best {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := best[a] - best[b]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names[:min(5, len(names))]
}

// Count sums up the elements of the parameters, and of those that are trained.
func Count(model any) (total, trained int) {
	for _, p := range Parameters(model) {
		total += p.Value.Size()
		if p.Value.RequiresGrad() {
			trained += p.Value.Size()
		}
	}
	return total, trained
}

// Zeros returns a trained parameter of zeros, [rows, cols].
func Zeros[T float.DType](rows, cols int) *nn.Param {
	// Not nn.NewParam, which makes a copy.
	return (&nn.Param{Matrix: mat.NewDense[T](mat.WithShape(rows, cols))}).WithGrad(true)
}

// Fill sets all elements of a parameter.
func Fill(p *nn.Param, x float64) {
	if isFloat64(p) {
		fill(values[float64](p), func(int) float64 { return x })
		return
	}
	fill(values[float32](p), func(int) float64 { return x })
}

// InitNormal draws the elements of a parameter from a normal distribution
// with mean 0 and the given standard deviation.
func InitNormal(p *nn.Param, std float64, random *Random) {
	draw := func(int) float64 { return random.Normal() * std }
	if isFloat64(p) {
		fill(values[float64](p), draw)
		return
	}
	fill(values[float32](p), draw)
}

func fill[T kernel.Float](x []T, f func(i int) float64) {
	for i := range x {
		x[i] = T(f(i))
	}
}

// Freeze makes no parameter of model trained.
func Freeze(model any) {
	for _, p := range Parameters(model) {
		p.Value.SetRequiresGrad(false)
	}
}

// WithoutGradients runs f with all parameters of model frozen, so that no
// graph is kept, and then makes those trained again that were. With a model
// that is frozen anyway it changes nothing, and may run concurrently.
func WithoutGradients(model any, f func() error) error {
	var trained []*nn.Param
	for _, p := range Parameters(model) {
		if p.Value.RequiresGrad() {
			trained = append(trained, p.Value)
			p.Value.SetRequiresGrad(false)
		}
	}
	defer func() {
		for _, p := range trained {
			p.SetRequiresGrad(true)
		}
	}()
	return f()
}
