// Command syn lists declared identifiers without types.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	tree := os.Args[1]
	filepath.WalkDir(tree, func(p string, d os.DirEntry, err error) error {
		if d.IsDir() && (d.Name() == ".tools" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, 0)
		if err != nil {
			return nil
		}
		rel, _ := filepath.Rel(tree, p)
		say := func(kind, parent string, id *ast.Ident) {
			if id.Name != "_" {
				fmt.Printf("%s\t%s\t%s\t%s\t%s:%d\n", filepath.Dir(rel), kind, parent, id.Name, filepath.Base(rel), fset.Position(id.Pos()).Line)
			}
		}
		var fn string
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				fn = n.Name.Name
				if n.Recv != nil {
					t := n.Recv.List[0].Type
					if s, ok := t.(*ast.StarExpr); ok {
						t = s.X
					}
					if i, ok := t.(*ast.Ident); ok {
						fn = i.Name + "." + fn
						say("method", i.Name, n.Name)
					}
				} else {
					say("func", "", n.Name)
				}
			case *ast.TypeSpec:
				say("type", "", n.Name)
				fn = n.Name.Name
			case *ast.ValueSpec:
				for _, id := range n.Names {
					say("var", fn, id)
				}
			case *ast.Field:
				for _, id := range n.Names {
					say("field/param", fn, id)
				}
			case *ast.AssignStmt:
				if n.Tok == token.DEFINE {
					for _, l := range n.Lhs {
						if id, ok := l.(*ast.Ident); ok {
							say("local", fn, id)
						}
					}
				}
			case *ast.RangeStmt:
				for _, e := range []ast.Expr{n.Key, n.Value} {
					if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
						say("local", fn, id)
					}
				}
			}
			return true
		})
		return nil
	})
}
