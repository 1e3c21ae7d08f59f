package main

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// rule renames declarations: DIRGLOB KIND[:PARENT] OLD NEW. A dir ending in /... is a subtree; KIND may be "any".
type rule struct {
	at                          string
	dir, kind, parent, old, new string
	used                        int
}

func (r *rule) matches(d *decl) bool {
	if r.old != d.name {
		return false
	}
	if r.kind != "any" && r.kind != d.kind {
		return false
	}
	if r.parent != "" && r.parent != d.parent && !strings.HasPrefix(d.parent, r.parent+".") && !strings.HasSuffix(d.parent, "."+r.parent) {
		return false
	}
	return dirMatches(r.dir, d.dir)
}

func dirMatches(glob, dir string) bool {
	for _, one := range strings.Split(glob, ",") {
		if one == "*" {
			return true
		}
		if sub, ok := strings.CutSuffix(one, "/..."); ok {
			if dir == sub || strings.HasPrefix(dir, sub+"/") {
				return true
			}
			continue
		}
		if ok, _ := path.Match(one, dir); ok {
			return true
		}
	}
	return false
}

// move: a directory (all its files) or one file gets another package.
type move struct {
	from, to string // paths relative to the tree; a directory, or a .go file
	name     string // package name at the target
	used     bool
}

func readFields(file string, n int, each func(at string, f []string) error) error {
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	s := bufio.NewScanner(bytes.NewReader(data))
	for line := 1; s.Scan(); line++ {
		text := s.Text()
		if i := strings.Index(text, "#"); i >= 0 {
			text = text[:i]
		}
		f := strings.Fields(text)
		if len(f) == 0 {
			continue
		}
		at := fmt.Sprintf("%s:%d", filepath.Base(file), line)
		if len(f) != n {
			return fmt.Errorf("%s: %d fields, want %d", at, len(f), n)
		}
		if err := each(at, f); err != nil {
			return err
		}
	}
	return s.Err()
}

type applier struct {
	w       *world
	rules   map[string][]*rule // by old name
	all     []*rule
	moves   []*move
	target  map[*decl]string
	edits   map[string]map[int]edit // file, offset
	comment map[string]string       // camel words in comments
	notes   []string
	imports map[string]*importPlan
}

type edit struct {
	from, to int
	text     string
}

type importPlan struct {
	add  map[string]bool
	drop map[string]bool
	keep map[string]bool
}

// placeOf is the package directory and name of a file after the moves.
func (a *applier) placeOf(file string) (dir, name string, moved bool) {
	dir = path.Dir(file)
	var best *move
	for _, m := range a.moves {
		if m.from == file {
			return path.Dir(m.to), m.name, true
		}
		if m.from == dir || strings.HasPrefix(dir, m.from+"/") {
			if best == nil || len(m.from) > len(best.from) {
				best = m
			}
		}
	}
	if best == nil {
		return dir, "", false
	}
	name = best.name
	if dir != best.from {
		name = ""
	}
	return best.to + strings.TrimPrefix(dir, best.from), name, true
}

func (a *applier) edit(file string, from, to int, text string) {
	if a.edits[file] == nil {
		a.edits[file] = map[int]edit{}
	}
	a.edits[file][from] = edit{from, to, text}
}

var camel = regexp.MustCompile(`[a-z][A-Z]`)

func apply(tree, tables string) error {
	a := &applier{rules: map[string][]*rule{}, target: map[*decl]string{}, edits: map[string]map[int]edit{}, comment: map[string]string{}, imports: map[string]*importPlan{}}
	files, _ := filepath.Glob(filepath.Join(tables, "idents", "*.txt"))
	sort.Strings(files)
	for _, file := range files {
		err := readFields(file, 4, func(at string, f []string) error {
			kind, parent, _ := strings.Cut(f[1], ":")
			r := &rule{at: at, dir: f[0], kind: kind, parent: parent, old: f[2], new: f[3]}
			a.rules[r.old] = append(a.rules[r.old], r)
			a.all = append(a.all, r)
			return nil
		})
		if err != nil {
			return err
		}
	}
	err := readFields(filepath.Join(tables, "moves.txt"), 3, func(at string, f []string) error {
		m := &move{from: f[0], to: f[1], name: f[2]}
		if _, err := os.Stat(filepath.Join(tree, m.from)); err != nil {
			fmt.Printf("not there: %s: %s\n", at, m.from)
			return nil
		}
		a.moves = append(a.moves, m)
		return nil
	})
	if err != nil {
		return err
	}
	w, err := load(tree)
	if err != nil {
		return err
	}
	a.w = w
	tree = w.tree
	ambiguous := map[string]bool{}
	for _, d := range w.decls {
		for _, r := range a.rules[d.name] {
			if r.matches(d) {
				r.used++
				if d.name != r.new {
					a.target[d] = r.new
					if camel.MatchString(d.name) || len(d.name) > 3 && d.kind != "local" && strings.HasPrefix(d.name, "Test") {
						if other, ok := a.comment[d.name]; ok && other != r.new {
							ambiguous[d.name] = true
						}
						a.comment[d.name] = r.new
					}
				}
				break
			}
		}
	}
	for _, r := range a.all {
		if r.used == 0 {
			fmt.Printf("not there: %s: %s %s %s -> %s\n", r.at, r.dir, r.kind, r.old, r.new)
		}
	}
	// A word that other declarations keep is not replaced in comments.
	for _, d := range w.decls {
		if _, ok := a.comment[d.name]; ok && a.target[d] == "" {
			ambiguous[d.name] = true
		}
	}
	for name := range ambiguous {
		delete(a.comment, name)
	}
	done := map[string]bool{}
	for _, p := range w.pkgs {
		for _, f := range p.Syntax {
			a.file(p.TypesInfo, p.Types, f)
		}
	}
	for _, p := range w.pkgs {
		for _, f := range p.Syntax {
			name := w.rel(w.fset.PositionFor(f.Pos(), false).Filename)
			if done[name] || strings.HasPrefix(name, "..") {
				continue
			}
			done[name] = true
			a.comments(p.TypesInfo, p.Types, f, name)
		}
	}
	// Strings and files that name tests.
	for name, edits := range a.edits {
		if err := writeEdits(filepath.Join(tree, name), edits); err != nil {
			return err
		}
	}
	if err := a.rewriteImports(tree); err != nil {
		return err
	}
	if err := a.doMoves(tree); err != nil {
		return err
	}
	if err := a.words(tree); err != nil {
		return err
	}
	sort.Strings(a.notes)
	last := ""
	for _, n := range a.notes {
		if n != last {
			fmt.Println(n)
		}
		last = n
	}
	return nil
}

func writeEdits(file string, edits map[int]edit) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var list []edit
	for _, e := range edits {
		list = append(list, e)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].from < list[j].from })
	var out bytes.Buffer
	at := 0
	for _, e := range list {
		if e.from < at {
			return fmt.Errorf("%s: overlapping edits at %d: %q", file, e.from, e.text)
		}
		out.Write(data[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(data[at:])
	return os.WriteFile(file, out.Bytes(), 0o644)
}

func (a *applier) plan(file string) *importPlan {
	p := a.imports[file]
	if p == nil {
		p = &importPlan{add: map[string]bool{}, drop: map[string]bool{}, keep: map[string]bool{}}
		a.imports[file] = p
	}
	return p
}

// file notes the edits of identifiers.
func (a *applier) file(info *types.Info, pkg *types.Package, f *ast.File) {
	w := a.w
	name := w.rel(w.fset.PositionFor(f.Pos(), false).Filename)
	if strings.HasPrefix(name, "..") {
		return
	}
	dir := path.Dir(name)
	newDir, _, _ := a.placeOf(name)
	newNames := map[string]string{}
	for old, rules := range a.rules {
		for _, r := range rules {
			newNames[r.new] = old
		}
	}
	scope := pkg.Scope()
	qualified := map[*ast.Ident]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			pn, ok := info.Uses[x].(*types.PkgName)
			if !ok {
				return true
			}
			qualified[n.Sel] = true
			obj := info.Uses[n.Sel]
			d := w.declOf(obj)
			oldPath := strings.TrimPrefix(pn.Imported().Path(), module+"/")
			if d == nil || oldPath == pn.Imported().Path() {
				return true
			}
			to, toName, moved := a.placeOf(d.key.file)
			plan := a.plan(name)
			if to == newDir && !strings.HasSuffix(f.Name.Name, "_test") {
				// The qualifier goes: the two are in one package now.
				k, _ := w.at(x.Pos())
				end, _ := w.at(n.Sel.Pos())
				a.edit(name, k.offset, end.offset, "")
				plan.drop[oldPath] = true
				return true
			}
			if !moved {
				plan.keep[oldPath] = true
				return true
			}
			plan.drop[oldPath] = true
			plan.add[oldPath+" "+to] = true
			if toName != "" && x.Name == pn.Imported().Name() && toName != x.Name {
				k, _ := w.at(x.Pos())
				a.edit(name, k.offset, k.offset+len(x.Name), toName)
				if inner := scope.Innermost(x.Pos()); inner != nil {
					if _, o := inner.LookupParent(toName, x.Pos()); o != nil {
						if _, isPkg := o.(*types.PkgName); !isPkg && a.target[w.declOf(o)] == "" {
							a.note("shadow: %s: package %s is hidden by %s", w.fset.Position(x.Pos()), toName, o)
						}
					}
				}
			}
			return true
		case *ast.Ident:
			var obj types.Object
			if o, ok := info.Defs[n]; ok {
				obj = o
			} else if o, ok := info.Uses[n]; ok {
				obj = o
			} else {
				return true
			}
			if _, isPkg := obj.(*types.PkgName); isPkg {
				return true
			}
			var d *decl
			if obj == nil {
				k, _ := w.at(n.Pos())
				d = w.decls[k]
			} else {
				d = w.declOf(obj)
			}
			if d == nil {
				return true
			}
			// A package-level object of the same old package that moves away.
			if obj != nil && obj.Pkg() != nil && obj.Parent() == obj.Pkg().Scope() && !qualified[n] && d.dir == dir {
				if to, toName, moved := a.placeOf(d.key.file); moved && to != newDir {
					if !ast.IsExported(n.Name) && !ast.IsExported(a.target[d]) {
						a.note("unexported across packages: %s: %s goes to %s", w.fset.Position(n.Pos()), n.Name, to)
					}
					target := n.Name
					if t := a.target[d]; t != "" {
						target = t
					}
					k, _ := w.at(n.Pos())
					a.edit(name, k.offset, k.offset+len(n.Name), toName+"."+target)
					a.plan(name).add[" "+to] = true
					return true
				} else if _, _, selfMoved := a.placeOf(name); selfMoved && !moved && newDir != dir {
					a.note("stays behind: %s: %s is declared in %s", w.fset.Position(n.Pos()), n.Name, d.key.file)
				}
			}
			target := a.target[d]
			if target == "" {
				if old := newNames[n.Name]; old != "" && d.kind != "field" && d.kind != "method" {
					// Something that is renamed to this name may hide it.
					if inner := scope.Innermost(n.Pos()); inner != nil {
						if s, o := inner.LookupParent(old, n.Pos()); o != nil && a.target[w.declOf(o)] == n.Name && obj != nil && s != obj.Parent() && inside(s, obj.Parent()) {
							a.note("capture: %s: %s would be hidden by the renamed %s", w.fset.Position(n.Pos()), n.Name, old)
						}
					}
				}
				return true
			}
			k, _ := w.at(n.Pos())
			a.edit(name, k.offset, k.offset+len(n.Name), target)
			if d.kind != "field" && d.kind != "method" && !qualified[n] {
				if inner := scope.Innermost(n.Pos()); inner != nil {
					if _, o := inner.LookupParent(target, n.Pos()); o != nil && o != obj {
						if t := a.target[w.declOf(o)]; t == "" {
							if _, isPkg := o.(*types.PkgName); isPkg {
								a.note("shadow: %s: %s -> %s hides or meets a package name", w.fset.Position(n.Pos()), n.Name, target)
							} else if o.Parent() == types.Universe {
								a.note("shadow: %s: %s -> %s is predeclared", w.fset.Position(n.Pos()), n.Name, target)
							} else if info.Uses[n] != nil || o.Parent() == obj.Parent() {
								a.note("conflict: %s: %s -> %s meets %s", w.fset.Position(n.Pos()), n.Name, target, w.fset.Position(o.Pos()))
							}
						}
					}
				}
			}
		}
		return true
	})
	for _, spec := range f.Imports {
		p := strings.TrimPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
		if spec.Name != nil && spec.Name.Name == "_" {
			a.plan(name).keep[p] = true
		}
	}
}

func inside(s, outer *types.Scope) bool {
	for ; s != nil; s = s.Parent() {
		if s == outer {
			return true
		}
	}
	return false
}

func (a *applier) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

var (
	wordRe = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	linkRe = regexp.MustCompile(`\[\*?([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,2})\]`)
)

// comments has comments follow.
func (a *applier) comments(info *types.Info, pkg *types.Package, f *ast.File, name string) {
	w := a.w
	doc := map[*ast.CommentGroup][]*ast.Ident{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			doc[n.Doc] = append(doc[n.Doc], n.Name)
		case *ast.GenDecl:
			for _, s := range n.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					doc[n.Doc] = append(doc[n.Doc], s.Name)
					doc[s.Doc] = append(doc[s.Doc], s.Name)
				case *ast.ValueSpec:
					doc[n.Doc] = append(doc[n.Doc], s.Names...)
					doc[s.Doc] = append(doc[s.Doc], s.Names...)
				}
			}
		case *ast.Field:
			doc[n.Doc] = append(doc[n.Doc], n.Names...)
		}
		return true
	})
	imported := map[string]*types.Package{}
	for _, i := range pkg.Imports() {
		imported[i.Name()] = i
	}
	for _, group := range f.Comments {
		own := map[string]string{}
		for _, id := range doc[group] {
			k, _ := w.at(id.Pos())
			if t := a.target[w.decls[k]]; t != "" {
				own[id.Name] = t
			}
		}
		for i, c := range group.List {
			start, _ := w.at(c.Pos())
			text := c.Text
			if strings.HasPrefix(text, "//go:") {
				continue
			}
			covered := map[int]bool{}
			put := func(from, to int, s string) {
				for j := from; j < to; j++ {
					if covered[j] {
						return
					}
				}
				for j := from; j < to; j++ {
					covered[j] = true
				}
				a.edit(name, start.offset+from, start.offset+to, s)
			}
			for _, m := range linkRe.FindAllStringSubmatchIndex(text, -1) {
				old := text[m[2]:m[3]]
				if t := a.link(old, imported, pkg); t != old {
					put(m[2], m[3], t)
				}
				for j := m[2]; j < m[3]; j++ {
					covered[j] = true
				}
			}
			for wi, m := range wordRe.FindAllStringIndex(text, -1) {
				word := text[m[0]:m[1]]
				if t, ok := a.comment[word]; ok {
					put(m[0], m[1], t)
					continue
				}
				// The first word of a doc comment is the name; later ones where it cannot be English.
				if t, ok := own[word]; ok && (i == 0 && wi == 0 || ast.IsExported(word) && m[0] > 3) {
					put(m[0], m[1], t)
				}
			}
		}
	}
}

// link renames the parts of a doc link.
func (a *applier) link(text string, imported map[string]*types.Package, pkg *types.Package) string {
	parts := strings.Split(text, ".")
	var out []string
	scope := pkg.Scope()
	if p := imported[parts[0]]; p != nil && len(parts) > 1 {
		scope = p.Scope()
		q := parts[0]
		if o := scope.Lookup(parts[1]); o != nil {
			if d := a.w.declOf(o); d != nil {
				if _, toName, moved := a.placeOf(d.key.file); moved && toName != "" {
					q = toName
				}
			}
		}
		out = append(out, q)
		parts = parts[1:]
	}
	obj := scope.Lookup(parts[0])
	if obj == nil {
		return text
	}
	one := func(o types.Object, name string) string {
		if d := a.w.declOf(o); d != nil {
			if t := a.target[d]; t != "" {
				return t
			}
		}
		return name
	}
	out = append(out, one(obj, parts[0]))
	if len(parts) == 2 {
		member, _, _ := types.LookupFieldOrMethod(obj.Type(), true, pkg, parts[1])
		if member == nil && obj.Pkg() != nil {
			member, _, _ = types.LookupFieldOrMethod(obj.Type(), true, obj.Pkg(), parts[1])
		}
		if member == nil {
			out = append(out, parts[1])
		} else {
			out = append(out, one(member, parts[1]))
		}
	}
	return strings.Join(out, ".")
}

// rewriteImports gives files the imports that their qualifiers need now.
func (a *applier) rewriteImports(tree string) error {
	return filepath.WalkDir(tree, func(file string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".tools" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") {
			return nil
		}
		rel, _ := filepath.Rel(tree, file)
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, src, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return nil //nolint // test data
		}
		edits := map[int]edit{}
		plan := a.imports[rel]
		if plan == nil {
			plan = &importPlan{}
		}
		have := map[string]bool{}
		newDir, pkgName, moved := a.placeOf(rel)
		for _, spec := range f.Imports {
			p := strings.TrimPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
			from, to := fset.Position(spec.Pos()).Offset, fset.Position(spec.End()).Offset
			pathFrom := fset.Position(spec.Path.Pos()).Offset
			var targets []string
			for add := range plan.add {
				if old, t, _ := strings.Cut(add, " "); old == p {
					targets = append(targets, t)
				}
			}
			sort.Strings(targets)
			if len(targets) == 0 && !plan.drop[p] {
				// Not loaded, or for its side effects: by directory.
				if t, _, ok := a.placeOf(p + "/x.go"); ok && t != p {
					edits[pathFrom] = edit{pathFrom, to, `"` + module + "/" + t + `"`}
				}
				have[p] = true
				continue
			}
			if plan.keep[p] && !contains(targets, p) {
				targets = append([]string{p}, targets...)
			}
			var lines []string
			for i, t := range targets {
				if have[t] || t == newDir && !strings.HasSuffix(f.Name.Name, "_test") {
					continue
				}
				have[t] = true
				alias := ""
				if spec.Name != nil && i == 0 {
					alias = spec.Name.Name + " "
				}
				lines = append(lines, alias+`"`+module+"/"+t+`"`)
			}
			edits[from] = edit{from, to, strings.Join(lines, "\n\t")}
		}
		for add := range plan.add {
			if t, ok := strings.CutPrefix(add, " "); ok && !have[t] {
				have[t] = true
				if len(f.Imports) == 0 {
					a.note("no import block: %s needs %s", rel, t)
					continue
				}
				last := f.Imports[len(f.Imports)-1]
				at := fset.Position(last.End()).Offset
				sep := "\n\t"
				if !strings.Contains(last.Path.Value, module) {
					sep = "\n\n\t"
				}
				if e, ok := edits[fset.Position(last.Pos()).Offset]; ok {
					e.text += sep + `"` + module + "/" + t + `"`
					edits[fset.Position(last.Pos()).Offset] = e
				} else {
					edits[at] = edit{at, at, sep + `"` + module + "/" + t + `"`}
				}
			}
		}
		if moved && pkgName != "" {
			old := f.Name.Name
			name := pkgName
			if strings.HasSuffix(old, "_test") {
				name += "_test"
			}
			if name != old {
				at := fset.Position(f.Name.Pos()).Offset
				edits[at] = edit{at, at + len(old), name}
			}
			// The package comment names it.
			for i, line := range strings.SplitAfter(string(src), "\n") {
				_ = i
				if strings.HasPrefix(line, "// Package "+old+" ") {
					at := strings.Index(string(src), line)
					edits[at] = edit{at, at + len("// Package "+old), "// Package " + strings.TrimSuffix(name, "_test")}
				}
			}
		}
		if len(edits) == 0 {
			if a.edits[rel] == nil {
				return nil
			}
		} else if err := writeEdits(file, edits); err != nil {
			return err
		}
		return formatFile(file)
	})
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func formatFile(file string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	out, err := format.Source(src)
	if err != nil {
		fmt.Printf("format: %s: %v\n", file, err)
		return nil
	}
	// An empty import group that is left over.
	return os.WriteFile(file, tidyImports(out), 0o644)
}

// tidyImports takes empty lines out of the import block that double or end it, and sorts again.
func tidyImports(src []byte) []byte {
	i := bytes.Index(src, []byte("\nimport (\n"))
	if i < 0 {
		return src
	}
	j := bytes.Index(src[i:], []byte("\n)\n"))
	if j < 0 {
		return src
	}
	block := string(src[i+len("\nimport (\n") : i+j])
	groups := [3][]string{}
	for _, line := range strings.Split(block, "\n") {
		t := strings.TrimSpace(line)
		if t == "" {
			continue
		}
		if strings.HasPrefix(t, "//") {
			return src // a comment between imports: as it is
		}
		p := t
		if k := strings.Index(t, `"`); k >= 0 {
			p = t[k+1:]
		}
		g := 1
		if strings.HasPrefix(p, module) {
			g = 2
		} else if first, _, _ := strings.Cut(strings.TrimSuffix(p, `"`), "/"); !strings.Contains(first, ".") {
			g = 0
		}
		groups[g] = append(groups[g], t)
	}
	var parts []string
	for _, g := range groups {
		if len(g) > 0 {
			parts = append(parts, "\t"+strings.Join(g, "\n\t"))
		}
	}
	out := append([]byte{}, src[:i+len("\nimport (\n")]...)
	out = append(out, strings.Join(parts, "\n\n")...)
	out = append(out, src[i+j:]...)
	formatted, err := format.Source(out)
	if err != nil {
		return src
	}
	return formatted
}

func (a *applier) doMoves(tree string) error {
	// Single files first: their directory may move as well.
	sort.SliceStable(a.moves, func(i, j int) bool {
		return strings.HasSuffix(a.moves[i].from, ".go") && !strings.HasSuffix(a.moves[j].from, ".go")
	})
	for _, m := range a.moves {
		from, to := filepath.Join(tree, m.from), filepath.Join(tree, m.to)
		if strings.HasSuffix(m.from, ".go") {
			// The target may be inside a directory that moves later: it is given as it is afterwards.
			os.MkdirAll(filepath.Dir(to), 0o755)
			if out, err := exec.Command("git", "-C", tree, "mv", m.from, m.to).CombinedOutput(); err != nil {
				return fmt.Errorf("git mv %s %s: %s", m.from, m.to, out)
			}
			continue
		}
		entries, err := os.ReadDir(from)
		if err != nil {
			continue
		}
		os.MkdirAll(to, 0o755)
		for _, e := range entries {
			if out, err := exec.Command("git", "-C", tree, "mv", path.Join(m.from, e.Name()), path.Join(m.to, e.Name())).CombinedOutput(); err != nil {
				fmt.Printf("git mv %s/%s %s: %s\n", m.from, e.Name(), m.to, out)
			}
		}
		os.Remove(from)
	}
	return nil
}

// words replaces names of tests in strings and pages.
func (a *applier) words(tree string) error {
	tests := map[string]string{}
	for old, t := range a.comment {
		if strings.HasPrefix(old, "Test") || strings.HasPrefix(old, "Fuzz") || strings.HasPrefix(old, "Benchmark") {
			tests[old] = t
		}
	}
	if len(tests) == 0 {
		return nil
	}
	return eachFile(tree, func(rel string, data []byte) []byte {
		return wordRe.ReplaceAllFunc(data, func(word []byte) []byte {
			if t, ok := tests[string(word)]; ok {
				return []byte(t)
			}
			return word
		})
	})
}

// eachFile offers every tracked or new text file for a change.
func eachFile(tree string, change func(rel string, data []byte) []byte) error {
	out, err := exec.Command("git", "-C", tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return err
	}
	for _, rel := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		file := filepath.Join(tree, rel)
		info, err := os.Lstat(file)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil || bytes.IndexByte(data, 0) >= 0 {
			continue
		}
		if out := change(rel, data); !bytes.Equal(out, data) {
			if err := os.WriteFile(file, out, info.Mode().Perm()); err != nil {
				return err
			}
		}
	}
	return nil
}
