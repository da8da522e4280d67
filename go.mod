module github.com/ekphrasis-ml/ekphrasis

go 1.26.0

require (
	github.com/dustin/go-humanize v1.1.0
	github.com/nlpodyssey/cybertron v0.2.1
	github.com/nlpodyssey/gotokenizers v0.2.0
	github.com/nlpodyssey/spago v1.1.0
	github.com/schollz/progressbar/v3 v3.19.1
	github.com/spf13/pflag v1.1.0
	golang.org/x/image v0.47.0
	golang.org/x/net v0.59.0
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
	gonum.org/v1/gonum v0.17.0
)

require (
	github.com/google/flatbuffers v23.5.26+incompatible // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/mattn/go-isatty v0.0.22 // indirect
	github.com/mitchellh/colorstring v0.0.0-20190213212951-d06e56a500db // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/rs/zerolog v1.31.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
