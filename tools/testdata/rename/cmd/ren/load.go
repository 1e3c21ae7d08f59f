package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/tools/go/packages"
)

// key identifies a declaration in whatever variant of a package it was checked.
type key struct {
	file   string // relative to the tree
	offset int
}

// lineKey identifies a declaration that comes from export data, which has no columns.
type lineKey struct {
	file string
	line int
	name string
}

type decl struct {
	key    key
	line   int
	dir    string
	kind   string // type func method field var const local
	parent string
	name   string
	pkg    string
	scope  *types.Scope
	test   bool
}

type world struct {
	tree   string
	fset   *token.FileSet
	pkgs   []*packages.Package
	decls  map[key]*decl
	byLine map[lineKey]*decl
}

const module = "inpod.dev/inpod"

func load(tree string) (*world, error) {
	tree, err := filepath.EvalSymlinks(tree)
	if err != nil {
		return nil, err
	}
	tree, _ = filepath.Abs(tree)
	w := &world{tree: tree, fset: token.NewFileSet(), decls: map[key]*decl{}, byLine: map[lineKey]*decl{}}
	var dirs []string
	filepath.WalkDir(tree, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() && (d.Name() == ".tools" || d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "dist" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.Name() == "go.mod" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	sort.Strings(dirs)
	for _, dir := range dirs {
		rel, _ := filepath.Rel(tree, dir)
		if strings.HasSuffix(rel, "cluster/kube") || strings.HasSuffix(rel, "cluster/dns") {
			continue
		}
		mode := packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedSyntax | packages.NeedTypes |
			packages.NeedTypesInfo | packages.NeedImports | packages.NeedModule | packages.NeedTypesSizes | packages.NeedForTest | packages.NeedDeps
		pkgs, err := packages.Load(&packages.Config{
			Dir: dir, Fset: w.fset, Mode: mode, Tests: true, BuildFlags: []string{"-tags=e2e,presets"},
		}, "./...")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		bad := 0
		for _, p := range pkgs {
			if strings.HasSuffix(p.ID, ".test") {
				continue
			}
			for _, e := range p.Errors {
				fmt.Fprintln(os.Stderr, "load:", p.ID, e)
				bad++
			}
			w.pkgs = append(w.pkgs, p)
		}
		if bad > 0 {
			return nil, fmt.Errorf("%d errors in %s", bad, dir)
		}
	}
	for _, p := range w.pkgs {
		for _, f := range p.Syntax {
			w.collect(p, f)
		}
	}
	return w, nil
}

func (w *world) rel(file string) string {
	if rest, ok := strings.CutPrefix(file, module+"/"); ok {
		return rest
	}
	rel, err := filepath.Rel(w.tree, file)
	if err != nil {
		return file
	}
	return rel
}

func (w *world) at(pos token.Pos) (key, int) {
	p := w.fset.PositionFor(pos, false)
	return key{w.rel(p.Filename), p.Offset}, p.Line
}

// collect notes every declaration of a file.
func (w *world) collect(p *packages.Package, f *ast.File) {
	fileName := w.rel(w.fset.PositionFor(f.Pos(), false).Filename)
	if strings.HasPrefix(fileName, "..") {
		return
	}
	type span struct {
		from, to token.Pos
		name     string
	}
	var spans []span
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil && len(d.Recv.List) == 1 {
				name = recvName(d.Recv.List[0].Type) + "." + name
			}
			spans = append(spans, span{d.Pos(), d.End(), name})
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if t, ok := s.(*ast.TypeSpec); ok {
					spans = append(spans, span{t.Pos(), t.End(), t.Name.Name})
				}
			}
		}
	}
	parentOf := func(pos token.Pos) string {
		for _, s := range spans {
			if s.from <= pos && pos < s.to {
				return s.name
			}
		}
		return ""
	}
	add := func(id *ast.Ident, obj types.Object) {
		if id.Name == "_" {
			return
		}
		k, line := w.at(id.Pos())
		if w.decls[k] != nil {
			return
		}
		d := &decl{key: k, line: line, dir: filepath.Dir(k.file), name: id.Name, pkg: p.Name, test: strings.HasSuffix(k.file, "_test.go")}
		pkgLevel := obj != nil && obj.Pkg() != nil && obj.Parent() == obj.Pkg().Scope()
		d.parent = parentOf(id.Pos())
		switch o := obj.(type) {
		case *types.TypeName:
			d.kind = "type"
			if !pkgLevel {
				d.kind = "local"
			} else {
				d.parent = ""
			}
		case *types.Func:
			d.kind = "func"
			if sig := o.Type().(*types.Signature); sig.Recv() != nil {
				d.kind = "method"
				d.parent, _, _ = strings.Cut(d.parent, ".")
			} else {
				d.parent = ""
			}
		case *types.Var:
			switch {
			case o.IsField():
				d.kind = "field"
			case pkgLevel:
				d.kind, d.parent = "var", ""
			default:
				d.kind = "local"
			}
		case *types.Const:
			d.kind = "local"
			if pkgLevel {
				d.kind, d.parent = "const", ""
			}
		case nil:
			d.kind = "local" // type switch
		default:
			return
		}
		w.decls[k] = d
		w.byLine[lineKey{k.file, line, id.Name}] = d
	}
	ast.Inspect(f, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		obj, ok := p.TypesInfo.Defs[id]
		if !ok {
			return true
		}
		if _, isPkg := obj.(*types.PkgName); isPkg {
			return true
		}
		if obj == nil && id == f.Name {
			return true
		}
		if v, ok := obj.(*types.Var); ok && v.Embedded() {
			return true
		}
		add(id, obj)
		return true
	})
}

func recvName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return recvName(e.X)
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr:
		return recvName(e.X)
	case *ast.IndexListExpr:
		return recvName(e.X)
	}
	return "?"
}

// declOf finds the declaration of an object.
func (w *world) declOf(obj types.Object) *decl {
	switch o := obj.(type) {
	case *types.Var:
		obj = o.Origin()
		if o.Embedded() {
			t := o.Type()
			if ptr, ok := t.(*types.Pointer); ok {
				t = ptr.Elem()
			}
			switch t := t.(type) {
			case *types.Named:
				return w.declOf(t.Origin().Obj())
			case *types.Alias:
				return w.declOf(t.Obj())
			}
			return nil
		}
	case *types.Func:
		obj = o.Origin()
	case nil:
		return nil
	}
	if !obj.Pos().IsValid() {
		return nil
	}
	k, line := w.at(obj.Pos())
	if d := w.decls[k]; d != nil && d.name == obj.Name() {
		return d
	}
	return w.byLine[lineKey{k.file, line, obj.Name()}]
}

func list(tree string) error {
	w, err := load(tree)
	if err != nil {
		return err
	}
	var all []*decl
	for _, d := range w.decls {
		all = append(all, d)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.key.file != b.key.file {
			return a.key.file < b.key.file
		}
		return a.key.offset < b.key.offset
	})
	for _, d := range all {
		fmt.Printf("%s\t%s\t%s\t%s\t%s:%d\n", d.dir, d.kind, d.parent, d.name, filepath.Base(d.key.file), d.line)
	}
	return nil
}
