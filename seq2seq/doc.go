// Package seq2seq joins an encoder and a decoder: [EncoderDecoder] is generic
// over both, and [VisionEncoderDecoder] is the one that turns pictures into
// words, with its image processor and tokenizer.
//
//	model, err := seq2seq.Load(ctx, "path/to/folder", nil) // or a name on the Hugging Face hub
//	picture, err := model.Processor.Decoder().Open("zebra.jpg")
//	captions, err := model.Generate(ctx, []vision.Image{picture}, model.Generation)
//
// The sub-packages hold the parts: gpt2 the decoder, tokenizer its text,
// generate the search for a sequence, train the training loop, metrics the
// scores of captions.
//
// [LoadJoined] and [JoinFS] join a ViT and a GPT-2 that do not know each other
// yet, [Join] any encoder of pictures and any decoder: two small interfaces.
// [RegisterEncoder] and [RegisterDecoder] let [Load] read what Save has
// written of them.
package seq2seq
