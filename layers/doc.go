// Package layers holds the building blocks of vision-to-text models on Spago's
// dynamic graph: linear layers, layer norm, embeddings, attention, dropout,
// and the walk that gives each parameter its checkpoint name.
//
// # Packed batches
//
// A Spago matrix has two dimensions, so a batch is rows: the sequences follow
// one another in a matrix [tokens, dim], and [Offsets] say where each begins.
// No padding is stored or computed. Start from [Packed] and [Attention].
//
// # Operators
//
// Every operator works on whole matrices and is one [ag.AutoGradFunction]: a
// linear layer with bias and GELU is one node of the graph, and so is an
// attention over all sequences and heads. They take float32 or float64
// matrices, whichever the operands hold. Where no operand requires a gradient
// no graph is built and the plain matrix is returned, so a frozen encoder
// leaves nothing behind. Backward computes only the gradients that somebody
// asked for.
//
// # Parameters
//
// A module is a struct that embeds [nn.Module]; a field tagged `param:"weight"`
// is a parameter or a sub-module, and the tags along the way make the name
// that the parameter has in a Hugging Face checkpoint. [Parameters] walks a
// model once in the order of its fields; [Trainable] freezes all parameters
// but those that match a pattern.
//
// Shapes in comments are [rows, columns]. A wrong shape is a programmer's
// mistake and panics with both shapes.
package layers
