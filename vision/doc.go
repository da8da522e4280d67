// Package vision turns a picture file into the pixel values that an image
// encoder was trained on.
//
//	img, err := vision.Open("zebra.jpg")          // 8-bit RGB, as Pillow's convert("RGB") gives it
//	p, err := vision.LoadProcessor(os.DirFS(dir)) // preprocessor_config.json
//	pixels, err := p.Process(img)                 // float32 [3, height, width]
//
// Start from [Processor]: it follows a preprocessor_config.json as the
// PIL backend of Hugging Face transformers does (ViTImageProcessorPil and its
// kin; use_fast=False in older releases), to the last bit: the same resampling
// in 8-bit fixed point, the same order of floating-point operations. The
// torchvision backend differs: it resamples with other coefficients (a level
// here and there) and folds rescaling into the mean and deviation.
//
// [Open] and [Decode] read PNG, JPEG, GIF, WebP and BMP. PNG, GIF, BMP and WebP
// give Pillow's values exactly. JPEG follows libjpeg-turbo's chroma upsampling
// and colour conversion exactly; what remains is the rounding of the inverse
// cosine transform. An EXIF orientation is not applied, since Pillow does not
// apply it either. Alpha is dropped, as convert("RGB") does it, unless a
// [Decoder] asks for a background.
package vision
