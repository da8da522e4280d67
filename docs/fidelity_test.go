package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

func TestEveryTestThatAPageNamesIsThere(t *testing.T) {
	var code strings.Builder
	for _, name := range files(t, ".go") {
		code.WriteString(read(t, name))
	}
	named := regexp.MustCompile("`(Test[A-Z]\\w*)`")
	found := 0
	for _, page := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(read(t, page), -1) {
			found++
			if !strings.Contains(code.String(), "\nfunc "+m[1]+"(t *testing.T) {\n") {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no page names a test")
	}
}
