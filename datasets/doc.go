// Package datasets reads captioned pictures and makes batches of them.
//
//	data, err := datasets.Open("annotations/captions_train2017.json", datasets.Options{Images: "train2017"})
//	train, val := datasets.Split(data, 0.1, seed)
//	loader, err := datasets.NewLoader(train, datasets.LoaderOptions{
//		BatchSize: 8,
//		Shuffle:   true,
//		Prepare:   processor.Process,
//	})
//	for batch, err := range loader.Epoch(ctx, epoch) {
//		…
//	}
//
// Start from [Open], which lists the formats that it reads: COCO, Karpathy's
// splits, Flickr, JSON lines, tables, folders, WebDataset shards. A [Dataset] is
// two methods, so any other source of pictures can be one. Opening reads the
// captions and checks them; a picture is read when it is needed, and only then
// is one missed that is not there.
//
// A [Loader] chooses the epoch's order and captions and reads pictures ahead of
// the training step. An epoch's batches follow from the seed and the epoch's
// number, whatever the number of workers, and can be taken up at any batch.
//
// Package datasets/emoji embeds a set of pictures that needs no download.
package datasets
