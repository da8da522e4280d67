// Package vision turns a picture file into the pixel values that an image
// encoder was trained on.
//
//	img, err := vision.Open("zebra.jpg")          // 8-bit RGB, as Pillow's convert("RGB") gives it
//	p, err := vision.LoadProcessor(os.DirFS(dir)) // preprocessor_config.json
//	pixels, err := p.Process(img)                 // float32 [3, height, width]
//
// Start from [Processor]: it follows a preprocessor_config.json as the PIL
// backend of Hugging Face transformers does (ViTImageProcessorPil and its kin;
// use_fast=False in older releases). A model's answer depends on these values,
// so they are the reference's to the last bit: the decoder, the
// resampling in 8-bit fixed point, the order of the floating-point operations.
// The tests hold them to Pillow 13.0 and transformers 5.23. Two neighbours differ by a
// level here and there: Pillow before 13, when a resize takes away more than twice as
// many rows as columns; and transformers' torchvision backend, which has
// other resampling coefficients and folds the rescaling into mean and deviation.
//
// [Open] and [Decode] read
//
//   - PNG of every colour type and depth. 16-bit colours are cut to their high byte, 16-bit greys
//     are clipped at 255, as Pillow does both;
//   - JPEG, baseline and progressive, grey, YCbCr, RGB, CMYK and YCCK, with
//     libjpeg-turbo's arithmetic. An EXIF orientation is not applied, since Pillow does not apply
//     it either;
//   - GIF and WebP, of an animation the first frame;
//   - BMP of 1, 2, 4, 8, 24 and 32 bits a pixel, not compressed.
//
// Alpha is dropped, as convert("RGB") does it, unless a [Decoder] asks for a
// background. Damaged files are errors where they are for Pillow: a truncated file is,
// a JPEG with wrong bits in the middle is not.
package vision
