package pytorch

import (
	"fmt"
	"math"

	"github.com/ekphrasis-ml/ekphrasis/internal/safetensors"
)

// dtype is an element's type and its size in bytes.
type dtype struct {
	safetensors.DType
	size int64
}

// dtypes are the globals that stand for element types: the classes of storages, and torch's own.
var dtypes = func() map[global]dtype {
	m := map[global]dtype{}
	for _, d := range []struct {
		class, name string
		dtype
	}{
		{"FloatStorage", "float32", dtype{safetensors.F32, 4}},
		{"HalfStorage", "float16", dtype{safetensors.F16, 2}},
		{"BFloat16Storage", "bfloat16", dtype{safetensors.BF16, 2}},
		{"DoubleStorage", "float64", dtype{safetensors.F64, 8}},
		{"LongStorage", "int64", dtype{safetensors.I64, 8}},
		{"IntStorage", "int32", dtype{safetensors.I32, 4}},
		{"ShortStorage", "int16", dtype{safetensors.I16, 2}},
		{"CharStorage", "int8", dtype{safetensors.I8, 1}},
		{"ByteStorage", "uint8", dtype{safetensors.U8, 1}},
		{"BoolStorage", "bool", dtype{safetensors.Bool, 1}},
		{"ComplexFloatStorage", "complex64", dtype{safetensors.C64, 8}},
		{"ComplexDoubleStorage", "complex128", dtype{"C128", 16}},
		{"", "uint16", dtype{safetensors.U16, 2}},
		{"", "uint32", dtype{safetensors.U32, 4}},
		{"", "uint64", dtype{safetensors.U64, 8}},
		{"", "float8_e4m3fn", dtype{safetensors.F8E4M3, 1}},
		{"", "float8_e5m2", dtype{safetensors.F8E5M2, 1}},
		{"storage.UntypedStorage", "", dtype{safetensors.U8, 1}},
	} {
		if d.class != "" {
			m[global("torch."+d.class)] = d.dtype
		}
		if d.name != "" {
			m[global("torch."+d.name)] = d.dtype
		}
	}
	return m
}()

// storage is a block of bytes in the file, which tensors may share.
type storage struct {
	key   string
	dtype dtype
	start int64 // of a legacy view within the block called key, in bytes
	size  int64 // bytes
}

// tensor is a view of a storage. Offset and strides count elements.
type tensor struct {
	storage *storage
	dtype   dtype
	offset  int64
	shape   []int
	strides []int64
	span    int64 // elements of the storage from the first to the last that the tensor has; 0 if it has none
}

// maxRank is the most dimensions that PyTorch allows.
const maxRank = 64

// newTensor checks that the tensor lies within its storage.
func newTensor(s *storage, d dtype, offset int64, size, stride tuple) (*tensor, error) {
	if len(size) > maxRank || len(size) != len(stride) {
		return nil, fmt.Errorf("a tensor of %d dimensions and %d strides", len(size), len(stride))
	}
	t := &tensor{storage: s, dtype: d, offset: offset, shape: make([]int, len(size)), strides: make([]int64, len(size))}
	elements, last, limit := int64(1), int64(0), s.size/d.size
	for i := range size {
		dim, ok := size[i].(int64)
		step, ok2 := stride[i].(int64)
		if !ok || !ok2 || dim < 0 || step < 0 || dim > math.MaxInt {
			return nil, fmt.Errorf("a tensor with a dimension of %T %d and a stride of %T %d", size[i], dim, stride[i], step)
		}
		t.shape[i], t.strides[i] = int(dim), step
		if dim > 0 && elements > math.MaxInt/8/dim {
			return nil, fmt.Errorf("a tensor of shape %v, larger than memory", t.shape)
		}
		elements *= dim
		// Only what is in bounds is added up, so nothing overflows.
		if dim > 1 && step > 0 && last <= limit {
			if dim-1 > limit/step {
				last = math.MaxInt64 / 2
			} else {
				last += (dim - 1) * step
			}
		}
	}
	if elements > 0 {
		t.span = last + 1
	}
	if offset < 0 || offset > limit || t.span > limit-offset {
		return nil, fmt.Errorf("a tensor of shape %v, strides %v and offset %d in a storage %q of %d elements",
			t.shape, t.strides, offset, s.key, limit)
	}
	return t, nil
}

// contiguous reports whether the elements lie in row-major order without gaps.
func (t *tensor) contiguous() bool {
	step := int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.strides[i] != step {
			return false
		}
		step *= int64(t.shape[i])
	}
	return true
}

// gather copies a strided view of src to dst in row-major order, and returns the rest of dst.
func gather(dst, src []float32, shape []int, strides []int64) []float32 {
	if len(shape) == 0 {
		dst[0] = src[0]
		return dst[1:]
	}
	if len(shape) == 1 {
		for i := range shape[0] {
			dst[i] = src[int64(i)*strides[0]]
		}
		return dst[shape[0]:]
	}
	for i := range shape[0] {
		dst = gather(dst, src[int64(i)*strides[0]:], shape[1:], strides[1:])
	}
	return dst
}

// builder is the host that builds tensors and dictionaries of them, and nothing else.
type builder struct {
	legacy   bool
	storages map[string]*storage // by key
	pairs    int                 // given to dictionaries as lists, which a hostile file could do with one list again and again
}

const (
	orderedDict       = "collections.OrderedDict"
	size              = "torch.Size"
	rebuildTensor     = "torch._utils._rebuild_tensor"
	rebuildTensorV2   = "torch._utils._rebuild_tensor_v2"
	rebuildTensorV3   = "torch._utils._rebuild_tensor_v3"
	rebuildParameter  = "torch._utils._rebuild_parameter"
	rebuildWithState  = "torch._utils._rebuild_parameter_with_state"
	rebuildFromTypeV2 = "torch._tensor._rebuild_from_type_v2"
	parameter         = "torch.nn.parameter.Parameter"
	plainTensor       = "torch.Tensor"
)

func (b *builder) global(name string) error {
	switch name {
	case orderedDict, size, rebuildTensor, rebuildTensorV2, rebuildTensorV3, rebuildParameter, rebuildWithState,
		rebuildFromTypeV2, parameter, plainTensor:
		return nil
	}
	if _, ok := dtypes[global(name)]; ok {
		return nil
	}
	return fmt.Errorf("%q is refused: only tensors and dictionaries of them are read, no code is run", name)
}

func (b *builder) call(f global, args tuple) (any, error) {
	switch f {
	case orderedDict:
		return b.newDict(args)
	case size:
		if len(args) == 1 {
			if t, ok := args[0].(tuple); ok {
				return t, nil
			}
		}
	case rebuildFromTypeV2: // (function, type, its arguments, attributes): a tensor that carries attributes
		if len(args) == 4 {
			inner, ok := args[0].(global)
			innerArgs, ok2 := args[2].(tuple)
			if ok && ok2 && inner != rebuildFromTypeV2 {
				return b.call(inner, innerArgs)
			}
		}
	case rebuildParameter, rebuildWithState:
		if len(args) >= 3 {
			if t, ok := args[0].(*tensor); ok {
				return t, nil
			}
		}
	case rebuildTensor, rebuildTensorV2, rebuildTensorV3:
		return rebuild(f, args)
	}
	return nil, fmt.Errorf("%s with %d arguments of other types than PyTorch's", f, len(args))
}

// rebuild takes (storage, offset, size, stride), then what concerns gradients, for V3 the type, and metadata.
func rebuild(f global, args tuple) (any, error) {
	least := map[global]int{rebuildTensor: 4, rebuildTensorV2: 6, rebuildTensorV3: 7}[f]
	if len(args) < least {
		return nil, fmt.Errorf("%s with %d arguments, expected %d", f, len(args), least)
	}
	s, ok := args[0].(*storage)
	offset, ok2 := args[1].(int64)
	size, ok3 := args[2].(tuple)
	stride, ok4 := args[3].(tuple)
	if !ok || !ok2 || !ok3 || !ok4 {
		return nil, fmt.Errorf("%s of (%T, %T, %T, %T)", f, args[0], args[1], args[2], args[3])
	}
	d := s.dtype
	if f == rebuildTensorV3 {
		g, _ := args[6].(global)
		if d, ok = dtypes[g]; !ok {
			return nil, fmt.Errorf("%s with the type %v", f, g)
		}
	}
	if len(args) > least { // bits that say the view is to be negated or conjugated on reading
		if m, ok := args[least].(*dict); ok && (m.get("neg") == true || m.get("conj") == true) {
			return nil, fmt.Errorf("%s of a lazily negated or conjugated tensor", f)
		}
	}
	return newTensor(s, d, offset, size, stride)
}

// newDict is OrderedDict() or OrderedDict(list of pairs).
func (b *builder) newDict(args tuple) (any, error) {
	d := &dict{}
	if len(args) == 0 {
		return d, nil
	}
	l, ok := args[0].(*list)
	if !ok || len(args) > 1 {
		return nil, fmt.Errorf("%s with %d arguments, the first %T", orderedDict, len(args), args[0])
	}
	if b.pairs += len(l.items); b.pairs > maxOperations {
		return nil, fmt.Errorf("%s of more than %d pairs", orderedDict, maxOperations)
	}
	for _, item := range l.items {
		switch kv := item.(type) {
		case tuple:
			if len(kv) == 2 {
				d.pairs = append(d.pairs, pair{kv[0], kv[1]})
				continue
			}
		case *list:
			if len(kv.items) == 2 {
				d.pairs = append(d.pairs, pair{kv.items[0], kv.items[1]})
				continue
			}
		}
		return nil, fmt.Errorf("%s with an item of %T, expected pairs", orderedDict, item)
	}
	return d, nil
}

// get returns the value of a text key, nil if there is none.
func (d *dict) get(key string) any {
	for i := len(d.pairs) - 1; i >= 0; i-- {
		if d.pairs[i].key == key {
			return d.pairs[i].value
		}
	}
	return nil
}

// build drops attributes, such as a state dict's _metadata.
func (b *builder) build(object, _ any) error {
	switch object.(type) {
	case *dict, *tensor:
		return nil
	}
	return fmt.Errorf("attributes for %T", object)
}

// persistent takes ("storage", class, key, location, elements), in legacy files followed by None or by (view's key,
// offset, elements).
func (b *builder) persistent(id any) (any, error) {
	args, _ := id.(tuple)
	fields := 5
	if b.legacy {
		fields = 6
	}
	if len(args) != fields || args[0] != "storage" {
		return nil, fmt.Errorf("a stored object of %T with %d fields, expected a storage", id, len(args))
	}
	class, _ := args[1].(global)
	d, ok := dtypes[class]
	key, ok2 := args[2].(string)
	elements, ok3 := args[4].(int64)
	if !ok || !ok2 || !ok3 || elements < 0 || elements > math.MaxInt64/16 {
		return nil, fmt.Errorf("a storage of (%v, %T, %T %v)", class, args[2], args[4], elements)
	}
	s := &storage{key: key, dtype: d, size: elements * d.size}
	if other, ok := b.storages[key]; !ok {
		b.storages[key] = s
	} else if other.dtype != s.dtype || other.size != s.size {
		return nil, fmt.Errorf("storage %q has %d bytes of %s here and %d of %s there", key, s.size, s.dtype.DType, other.size, other.dtype.DType)
	}
	if !b.legacy || args[5] == nil {
		return s, nil
	}
	view, _ := args[5].(tuple)
	if len(view) == 3 {
		from, ok := view[1].(int64)
		n, ok2 := view[2].(int64)
		if ok && ok2 && from >= 0 && n >= 0 && from <= elements && n <= elements-from {
			return &storage{key: key, dtype: d, start: from * d.size, size: n * d.size}, nil
		}
	}
	return nil, fmt.Errorf("a view of storage %q outside of its %d elements", key, elements)
}
