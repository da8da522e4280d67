// Package train fits an encoder-decoder to captioned inputs.
//
// A [Trainer] is a short loop: it takes batches from a [Data], computes the
// loss and its gradients, clips them and lets an optimiser change the trained
// weights; after each epoch it validates. Everything else (progress, files,
// tables of captions) hangs on its two hooks. Start from [New] with
// [DefaultOptions]; [Pictures] makes the Data of a data set of pictures, and
// [Folder] keeps a run's files.
//
//	layers.Trainable(model, "crossattention")
//	t, err := train.New(model, trainData, valData, train.DefaultOptions())
//	t.Hooks.Step = func(s train.Step) error { fmt.Println(s.Step, s.Loss); return nil }
//	err = t.Run(ctx)
//
// When the encoder is frozen its states are computed once for each input and
// kept, as far as [Options.CacheBytes] goes.
//
// A run depends on its seed and data alone: not on the number of threads, nor
// on whether it was stopped and resumed in between.
package train
