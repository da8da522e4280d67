package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// eachLine calls f for every line that is not empty, without its end. An error
// of f is prefixed by the source and the line's number, from 1.
func eachLine(r *bufio.Reader, source string, f func(line string) error) error {
	for number := 1; ; number++ {
		line, err := r.ReadString('\n')
		if err != nil && err != io.EOF {
			return fmt.Errorf("datasets: %s:%d: %w", source, number, err)
		}
		if text := strings.TrimRight(line, "\r\n"); strings.TrimSpace(text) != "" {
			if err := f(text); err != nil {
				return fmt.Errorf("datasets: %s:%d: %w", source, number, err)
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// flickrToken is a line of Flickr's token files.
var flickrToken = regexp.MustCompile(`^([^\t]+)#\d+\t(.*)$`)

// readTable reads Flickr's token files, tables parted by bars, and CSV and
// TSV; the first line tells which it is.
func readTable(r *bufio.Reader, b *listBuilder) error {
	// An error of Peek is met again by those that read.
	head, _ := r.Peek(r.Size())
	first, _, _ := strings.Cut(string(head), "\n")
	switch {
	case flickrToken.MatchString(first):
		return readTokens(r, b)
	case strings.Contains(first, "|"):
		return readBars(r, b)
	case strings.Contains(first, "\t"):
		return readCSV(r, b, '\t')
	}
	return readCSV(r, b, ',')
}

// readTokens reads lines "name.jpg#0<tab>caption".
func readTokens(r *bufio.Reader, b *listBuilder) error {
	return eachLine(r, b.source, func(line string) error {
		match := flickrToken.FindStringSubmatch(line)
		if match == nil {
			return fmt.Errorf(`found %q, want "name.jpg#0", a tab and a caption`, line)
		}
		b.wants("")
		number, _ := b.picture(match[1])
		return b.caption(number, match[2])
	})
}

// readBars reads Flickr30k's results.csv: a header, then cells parted by bars
// and never quoted.
func readBars(r *bufio.Reader, b *listBuilder) error {
	var columns *tableColumns
	return eachLine(r, b.source, func(line string) (err error) {
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if columns == nil {
			columns, err = findColumns(cells)
			return err
		}
		return columns.add(b, cells)
	})
}

// readCSV reads a header, then rows of cells, as RFC 4180 has them. As in most
// readers, a quotation mark within a cell that does not begin with one is just
// a character.
func readCSV(r *bufio.Reader, b *listBuilder, comma byte) error {
	c := csvReader{r: r, comma: comma}
	var columns *tableColumns
	for {
		line := c.line + 1
		cells, err := c.row()
		switch {
		case err == io.EOF:
			if columns == nil {
				return fmt.Errorf("datasets: %s: no header line", b.source)
			}
			return nil
		case err != nil:
		case columns == nil:
			columns, err = findColumns(cells)
		case len(cells) == 1 && strings.TrimSpace(cells[0]) == "": // an empty line
		default:
			err = columns.add(b, cells)
		}
		if err != nil {
			return fmt.Errorf("datasets: %s:%d: %w", b.source, line, err)
		}
	}
}

// tableColumns are the columns of a table that matter.
type tableColumns struct {
	number   int // of all columns
	picture  int
	split    int // -1 if there is none
	captions []int
}

var numberedCaption = regexp.MustCompile(`^captions?[_ ]?\d+$`)

func findColumns(header []string) (*tableColumns, error) {
	index := map[string]int{}
	c := &tableColumns{number: len(header), split: -1}
	for i, h := range header {
		h = strings.ToLower(strings.TrimSpace(h))
		if _, ok := index[h]; ok {
			return nil, fmt.Errorf("two columns are named %q", h)
		}
		index[h] = i
		if numberedCaption.MatchString(h) {
			c.captions = append(c.captions, i)
		}
	}
	key, err := findField(index, pictureFields, "column of pictures")
	if err != nil {
		return nil, err
	}
	c.picture = index[key]
	if i, ok := index["split"]; ok {
		c.split = i
	}
	if len(c.captions) == 0 {
		key, err := findField(index, captionFields, "column of captions")
		if err != nil {
			return nil, err
		}
		c.captions = []int{index[key]}
	}
	return c, nil
}

// add adds a row. Of several captions some may be empty.
func (c *tableColumns) add(b *listBuilder, cells []string) error {
	if len(cells) != c.number {
		return fmt.Errorf("found %d cells, want %d as in the header", len(cells), c.number)
	}
	name := strings.TrimSpace(cells[c.picture])
	if name == "" {
		return errors.New("the name of the picture is empty")
	}
	split := ""
	if c.split >= 0 {
		split = strings.TrimSpace(cells[c.split])
	}
	if !b.wants(split) {
		return nil
	}
	number, _ := b.picture(name)
	found := false
	for _, i := range c.captions {
		if strings.TrimSpace(cells[i]) == "" {
			continue
		}
		found = true
		if err := b.caption(number, cells[i]); err != nil {
			return fmt.Errorf("picture %s: %w", name, err)
		}
	}
	if !found {
		return fmt.Errorf("picture %s: caption is empty", name)
	}
	return nil
}

// csvReader reads rows of a table. Unlike encoding/csv with LazyQuotes it
// accepts stray quotation marks and yet refuses a cell that never ends.
type csvReader struct {
	r     *bufio.Reader
	comma byte
	line  int // lines read
}

// row reads a row, which ends with the line unless a quoted cell goes on. Its
// error is io.EOF after the last row.
func (c *csvReader) row() ([]string, error) {
	line, err := c.readLine()
	if err != nil {
		return nil, err
	}
	var cells []string
	for {
		if !strings.HasPrefix(line, `"`) {
			cell, rest, more := strings.Cut(line, string(c.comma))
			cells = append(cells, cell)
			if !more {
				return cells, nil
			}
			line = rest
			continue
		}
		cell, rest, err := c.quoted(line[1:])
		if err != nil {
			return nil, err
		}
		cells = append(cells, cell)
		if rest == "" {
			return cells, nil
		}
		if rest[0] != c.comma {
			return nil, fmt.Errorf("a quoted cell is followed by %q", rest)
		}
		line = rest[1:]
	}
}

// quoted reads a cell up to its closing quotation mark, over several lines if
// need be, and returns what follows it in its line.
func (c *csvReader) quoted(line string) (cell, rest string, err error) {
	var b strings.Builder
	for {
		text, after, closed := strings.Cut(line, `"`)
		b.WriteString(text)
		switch {
		case !closed:
			b.WriteByte('\n')
			if line, err = c.readLine(); err == io.EOF {
				return "", "", errors.New("a quoted cell does not end")
			} else if err != nil {
				return "", "", err
			}
		case strings.HasPrefix(after, `"`):
			b.WriteByte('"')
			line = after[1:]
		default:
			return b.String(), after, nil
		}
	}
}

// readLine reads a line without its end.
func (c *csvReader) readLine() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		return "", err
	}
	c.line++
	return strings.TrimRight(line, "\r\n"), nil
}
