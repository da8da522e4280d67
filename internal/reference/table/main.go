// Table writes what the golden tests measured into a page, as Markdown tables between marks. It reads the tests'
// output in JSON from standard input:
//
//	go test -json -count=1 ./vision/... ./seq2seq/... ./losses ./optim | go run ./internal/reference/table docs/fidelity.md
//	go test -json -count=1 -timeout 1h ./seq2seq -run 'TestACheckpoint(Computes|Prepares|Says)' -args -case DIR |
//		go run ./internal/reference/table -full docs/fidelity.md
//
// The second is about the checkpoint of full size that fidelity.py writes to DIR. If a test failed the page stays as
// it is.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	full := flag.Bool("full", false, "the tests were of the checkpoint of full size")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go test -json … | table [-full] PAGE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*full, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(full bool, page string) error {
	found, err := read(os.Stdin)
	if err != nil {
		return err
	}
	sections := map[string]func() (string, error){"counts": found.counts, "models": found.models, "training": found.training}
	if full {
		sections = map[string]func() (string, error){"full": found.full}
	}
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text := string(data)
	for name, section := range sections {
		table, err := section()
		if err != nil {
			return err
		}
		if text, err = insert(text, name, table); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	return os.WriteFile(page, []byte(text), 0o666)
}
