package main

import (
	"fmt"
	"os"
	"strings"
)

// The tables stand between these lines of the page.
const (
	tablesBegin = "<!-- made by docs/figures/explosions -->\n"
	tablesEnd   = "<!-- end -->\n"
)

// updatePage puts the tables of the results into the page.
func updatePage(path string, r Results) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(page), tablesBegin)
	_, after, ok2 := strings.Cut(rest, tablesEnd)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no place for the tables, between %q and %q", path, strings.TrimSpace(tablesBegin), strings.TrimSpace(tablesEnd))
	}
	return os.WriteFile(path, []byte(before+tablesBegin+tables(r)+tablesEnd+after), 0o666)
}

// tables are the results as Markdown.
func tables(r Results) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\nValidation loss after %d updates of %d pictures, by learning rate; before training it is %.3f. ✗ marks what exploded.\n\n", r.Steps, r.BatchSize, r.Before)
	row(&out, "", rateNames(learningRates))
	rule(&out, len(learningRates))
	for _, c := range cures() {
		row(&out, c.name, r.cells(c, learningRates, func(run Run) string {
			if r.exploded(run) {
				return "✗ " + text(run.ValLoss, "%.2f")
			}
			return text(run.ValLoss, "%.3f")
		}))
	}
	high := learningRates[len(learningRates)-3:]
	out.WriteString("\nAt the highest rates: the largest norm of a gradient before clipping, and the largest weight.\n\n")
	row(&out, "", rateNames(high))
	rule(&out, len(high))
	for _, c := range cures() {
		row(&out, c.name, r.cells(c, high, func(run Run) string {
			return text(run.GradNorm, "%.1f") + ", " + text(run.Weight, "%.2f")
		}))
	}
	out.WriteString("\n")
	return out.String()
}

func (r Results) cells(c cure, rates []float64, show func(Run) string) []string {
	var cells []string
	for _, rate := range rates {
		cell := ""
		if run, ok := r.of(c.name, rate); ok {
			cell = show(run)
		}
		cells = append(cells, cell)
	}
	return cells
}

func row(out *strings.Builder, name string, cells []string) {
	fmt.Fprintf(out, "| %s | %s |\n", name, strings.Join(cells, " | "))
}

func rule(out *strings.Builder, columns int) {
	fmt.Fprintf(out, "| --- |%s\n", strings.Repeat(" --: |", columns))
}

func rateNames(rates []float64) []string {
	var names []string
	for _, rate := range rates {
		names = append(names, rateName(rate))
	}
	return names
}

// rateName writes 1e-05 as 1e-5.
func rateName(rate float64) string { return strings.Replace(fmt.Sprintf("%.0e", rate), "e-0", "e-", 1) }

// text is a number in a format, ∞ if it was not finite.
func text(n *number, format string) string {
	if n == nil {
		return "∞"
	}
	return fmt.Sprintf(format, float64(*n))
}
