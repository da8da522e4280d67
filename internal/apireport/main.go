// Command apireport prints the exported names of all public packages, a line
// each: docs/api.txt is what it printed when the last change of the API was
// agreed to.
//
//	go run ./internal/apireport >docs/api.txt
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"log"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	lines, err := report(".")
	if err != nil {
		log.Fatal("apireport: ", err)
	}
	for _, l := range lines {
		fmt.Println(l)
	}
}

// report describes the public packages below a folder, on Linux and amd64.
func report(root string) (lines []string, err error) {
	system := build.Default
	system.GOOS, system.GOARCH, system.CgoEnabled = "linux", "amd64", false
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"internal", "cmd", "docs", "testdata", "runs"}, name)) {
			return fs.SkipDir
		}
		p, err := system.ImportDir(path, 0)
		if _, none := err.(*build.NoGoError); none || p != nil && p.Name == "main" {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		of, err := describe(path, p.GoFiles)
		for _, l := range of {
			lines = append(lines, filepath.ToSlash(name)+": "+l)
		}
		return err
	})
	return lines, err
}

// describe lists what the files of a package export, in the order of names.
func describe(dir string, files []string) ([]string, error) {
	var lines []string
	for _, name := range files {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.FileExports(file)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if exported(d) {
					lines = append(lines, function(d))
				}
			case *ast.GenDecl:
				lines = append(lines, declaration(d)...)
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// exported tells whether a function is, and the type whose method it is.
func exported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := strings.TrimPrefix(text(d.Recv.List[0].Type), "*")
	return ast.IsExported(typ)
}

func function(d *ast.FuncDecl) string {
	signature := strings.TrimPrefix(text(d.Type), "func")
	if d.Recv == nil {
		return "func " + d.Name.Name + signature
	}
	return "method (" + text(d.Recv.List[0].Type) + ") " + d.Name.Name + signature
}

func declaration(d *ast.GenDecl) (lines []string) {
	var typ ast.Expr // of the constant before, which one without a value has
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.ValueSpec:
			if s.Type != nil || len(s.Values) > 0 {
				typ = s.Type
			}
			for i, n := range s.Names {
				if !n.IsExported() {
					continue
				}
				line := d.Tok.String() + " " + n.Name
				if typ != nil {
					line += " " + text(typ)
				}
				if d.Tok == token.CONST && i < len(s.Values) {
					line += " = " + text(s.Values[i])
				}
				lines = append(lines, line)
			}
		case *ast.TypeSpec:
			lines = append(lines, typeLines(s)...)
		}
	}
	return lines
}

// typeLines describe a type, and each exported field or method that it has.
func typeLines(s *ast.TypeSpec) []string {
	head, name := "type "+s.Name.Name, s.Name.Name
	if s.TypeParams != nil {
		head += "[" + fields(s.TypeParams) + "]"
	}
	if s.Assign.IsValid() {
		head += " ="
	}
	switch t := s.Type.(type) {
	case *ast.StructType:
		return append([]string{head + " struct"}, members("field "+name+".", t.Fields)...)
	case *ast.InterfaceType:
		return append([]string{head + " interface"}, members("interface "+name+".", t.Methods)...)
	}
	return []string{head + " " + text(s.Type)}
}

func members(prefix string, list *ast.FieldList) (lines []string) {
	for _, f := range list.List {
		typ := text(f.Type)
		if _, method := f.Type.(*ast.FuncType); method && strings.HasPrefix(prefix, "interface") {
			typ = strings.TrimPrefix(typ, "func")
		} else {
			typ = " " + typ
		}
		if f.Tag != nil {
			typ += " " + f.Tag.Value
		}
		for _, n := range f.Names {
			lines = append(lines, prefix+n.Name+typ)
		}
		if len(f.Names) == 0 {
			lines = append(lines, prefix+"(embedded)"+typ)
		}
	}
	return lines
}

func fields(list *ast.FieldList) string {
	var out []string
	for _, f := range list.List {
		for _, n := range f.Names {
			out = append(out, n.Name+" "+text(f.Type))
		}
	}
	return strings.Join(out, ", ")
}

// text is a piece of syntax in one line.
func text(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), n); err != nil {
		log.Fatal("apireport: ", err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
