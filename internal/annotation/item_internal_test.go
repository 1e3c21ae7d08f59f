package annotation

import (
	"strings"
	"testing"

	"inpod.dev/inpod/internal/source"
)

func TestWhatCanBeTheNameOfNoObject(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		item string
		want string // "" for no fault
	}{
		"a name":                         {item: "shop-web"},
		"a name with dots":               {item: "shop-api.v1"},
		"a name as others escape it":     {item: `shop-api\.v1`},
		"a pattern":                      {item: "shop-.*"},
		"a pattern with ends":            {item: "^shop-web$"},
		"alternatives":                   {item: "shop|blog"},
		"digits that are repeated":       {item: "shop-[0-9]*"},
		"a class that is repeated":       {item: `shop-\d*`},
		"a letter that may be there":     {item: "apps?"},
		"a group that is repeated":       {item: "(shop-)*web"},
		"letters of any case":            {item: "(?i)SHOP"},
		"a class of letters":             {item: "[a,b]"},
		"a pattern of letters and stars": {item: "shop.*web-*"},
		"a star in a class":              {item: "shop[a*]"},
		"a glob at the end":              {item: "shop-*", want: `"shop-*" is read as a regular expression, in which * repeats what is before it; write "shop-.*"`},
		"a glob at the start":            {item: "*-web", want: `"*-web" is read as a regular expression, in which * repeats what is before it; write ".*-web"`},
		"a glob for everything":          {item: "*", want: `"*" is read as a regular expression, in which * repeats what is before it; write ".*"`},
		"a glob after a letter":          {item: "shop*web", want: `"shop*web" is read as a regular expression, in which * repeats what is before it; write "shop.*web"`},
		"blanks between names":           {item: "shop-api.v1 shop-web", want: `"shop-api.v1 shop-web" is read as one name, since names are separated by commas; write "shop-api.v1,shop-web"`},
		"lines between names":            {item: "a\nb", want: `"a\nb" is read as one name, since names are separated by commas; write "a,b"`},
		"semicolons between names":       {item: "a;b", want: `"a;b" is read as one name, since names are separated by commas; write "a,b"`},
		"a list in YAML":                 {item: "- a\n- b", want: `"- a\n- b" is read as one name, since names are separated by commas; write "a,b"`},
		"a list in JSON":                 {item: `["a","b"]`, want: `"[\"a\",\"b\"]" is read as one pattern; write "a,b"`},
		"a list of one in JSON":          {item: `["web"]`, want: `"[\"web\"]" is read as one pattern; write "web"`},
		"a namespace before the name":    {item: "shop/web", want: `"shop/web" matches no ConfigMap: a workload follows those of its own namespace, by their names alone; write "web"`},
		"a kind before the name":         {item: "configmap/web", want: `"configmap/web" matches no ConfigMap: a workload follows those of its own namespace, by their names alone; write "web"`},
		"a namespace before a glob":      {item: "shop/web-*", want: `"shop/web-*" matches no ConfigMap: a workload follows those of its own namespace, by their names alone; write names or patterns, separated by commas`},
		"quotes":                         {item: `"web"`, want: `"\"web\"" is in quotes, and no name has them; write "web"`},
		"quotes of one kind":             {item: "'web'", want: `"'web'" is in quotes, and no name has them; write "web"`},
		"upper case":                     {item: "Shop-Web", want: `"Shop-Web" can be the name of no ConfigMap, and as a regular expression it matches none; write "shop-web"`},
		"an underscore":                  {item: "shop_web", want: `"shop_web" can be the name of no ConfigMap, and as a regular expression it matches none; write names or patterns, separated by commas`},
		"a template that is not filled":  {item: "${NAME}", want: `"${NAME}" can be the name of no ConfigMap, and as a regular expression it matches none; write names or patterns, separated by commas`},
		"a template with blanks":         {item: "{{ .Values.name }}", want: `"{{ .Values.name }}" is read as one name, since names are separated by commas; write names or patterns, separated by commas`},
		"what is no regular expression":  {item: "(a", want: `"(a" is not a regular expression: missing closing ); write names or patterns, separated by commas`},
		"a class that matches no letter": {item: "[A-Z]+", want: `"[A-Z]+" can be the name of no ConfigMap, and as a regular expression it matches none; write "[a-z]+"`},
	} {
		if got := itemFault(source.ConfigMap, tc.item); got != tc.want {
			t.Errorf("%s: %q\n got %s\nwant %s", name, tc.item, got, tc.want)
		}
	}
}

// The name of a bundle that belongs to a signer begins with that of the signer.
func TestNamesOfBundlesMayHaveColons(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]string{
		"example.com:signer:roots": "",
		"example.com:signer:.*":    "",
		"roots":                    "",
		"example.com/signer":       `"example.com/signer" matches no ClusterTrustBundle: names of objects have colons in place of slashes; write names or patterns, separated by commas`,
		"Roots":                    `"Roots" can be the name of no ClusterTrustBundle, and as a regular expression it matches none; write "roots"`,
	} {
		if got := itemFault(source.ClusterTrustBundle, item); got != want {
			t.Errorf("%q\n got %s\nwant %s", item, got, want)
		}
	}
	if got := itemFault(source.ConfigMap, "example.com:signer:roots"); got == "" {
		t.Error("a ConfigMap may have colons in its name")
	}
}

func TestALongItemIsCutInMessages(t *testing.T) {
	t.Parallel()
	if got := itemFault(source.Secret, strings.Repeat("Ä", 100_000)); len(got) > 400 {
		t.Errorf("%d bytes", len(got))
	}
}
