// Package kernel has the CPU kernels that the models are built from: matrix product, attention, layer norm,
// activations, cross-entropy and Adam. It works on slices and knows nothing of graphs, parameters or models.
//
// Matrices are row-major slices with a leading dimension: element (i, j) of a matrix x with leading dimension ld is
// x[i*ld+j]. Every function is generic over float32 and float64. Where an output element is a sum, it is summed in one
// fixed order, whatever the number of threads and whatever the number of rows beside it: a row computed alone has the
// same bits as that row computed in a batch.
//
// A shape that does not fit its slice is a programmer's mistake and panics with both sizes. NaN and infinity are values
// like any other and propagate.
package kernel

// Float is the element type of every kernel.
type Float interface{ float32 | float64 }
