// Package losses holds the objectives that models are trained on.
//
// [LinearCrossEntropy] is the one to start from: the language-model head and
// the cross-entropy over its logits as one operator, which works on blocks of
// rows and on labelled rows only, so that a [tokens, vocabulary] matrix never
// exists.
package losses
