// Package train fits models to captioned inputs.
//
// A [Trainer] is a short loop: it takes batches from a [Data], asks a [Model]
// for the loss and its gradients, clips them and lets an optimiser change the
// trained weights; after each epoch it validates. Everything else (progress,
// files, tables of captions) hangs on its hooks. [Captioning] is the Model of
// an encoder-decoder, [Pictures] makes the Data of a data set of pictures, and
// [Folder] keeps a run's files:
//
//	err := layers.Trainable(model, "crossattention")
//	task := train.NewCaptioning(&model.EncoderDecoder, 1<<30)
//	data, err := train.Pictures(pictures, model.Processor, model.Tokenizer, train.PictureOptions{Need: task.Lacks})
//	t, err := train.New(task, data, nil, train.DefaultOptions())
//	t.Hooks.Step = func(s train.Step) error { fmt.Println(s.Step, s.Loss); return nil }
//	err = t.Run(ctx)
//
// A run depends on its seeds and data alone: not on the number of threads,
// nor on whether it was stopped and resumed in between.
package train
