// Package seq2seq joins an encoder and a decoder: [EncoderDecoder] is generic
// over both, and [VisionEncoderDecoder] is the one that turns pictures into
// words, with its image processor and tokenizer.
//
//	model, err := seq2seq.Load("path/to/folder")
//	picture, err := vision.Open("zebra.jpg")
//	captions, err := model.Generate(ctx, []vision.Image{picture}, model.Generation)
//
// The sub-packages hold the parts: gpt2 the decoder, tokenizer its text,
// generate the search for a sequence, train the training loop, metrics the
// scores of captions.
package seq2seq
