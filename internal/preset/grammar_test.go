package preset_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/preset"
)

func TestArgumentsAreReadAsTheServerReadsThem(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		preset    string
		args      []string
		want      []string // what the validator gets
		wantError string
	}{
		"apache, a parameter apart":             {preset: "apache2", args: []string{"-D", "PROD", "-f", "/f"}, want: []string{"-D", "PROD", "-f", "/f"}},
		"apache, all joined":                    {preset: "apache2", args: []string{"-DPROD", "-DFOREGROUND", "-f/f", "-d/d"}, want: []string{"-D", "PROD", "-D", "FOREGROUND", "-f", "/f", "-d", "/d"}},
		"apache, directives before and after":   {preset: "apache2", args: []string{"-C", "Define A", "-c", "Listen 1", "-X"}, want: []string{"-C", "Define A", "-c", "Listen 1"}},
		"apache, what starts it":                {preset: "apache2", args: []string{"-k", "start", "-e", "debug", "-E", "/log"}},
		"apache, an argument that is no option": {preset: "apache2", args: []string{"-DA", "start"}, wantError: `"start"`},
		"apache, an option of a later version":  {preset: "apache2", args: []string{"-Q"}, wantError: "-Q"},
		"squid, joined to the path":             {preset: "squid", args: []string{"-N", "-f/path"}, want: []string{"-f", "/path"}},
		"squid, joined behind a flag":           {preset: "squid", args: []string{"-NYCd", "1", "-sf", "/path"}, want: []string{"-f", "/path"}},
		"squid, a value that may be missing":    {preset: "squid", args: []string{"-m", "-f", "/path"}, want: []string{"-f", "/path"}},
		"squid, the name of a service":          {preset: "squid", args: []string{"--foreground", "-n", "a", "-sYC"}, want: []string{"-n", "a"}},
		"squid, an abbreviated long option":     {preset: "squid", args: []string{"--fore", "-f", "/p"}, want: []string{"-f", "/p"}},
		"squid, an unknown long option":         {preset: "squid", args: []string{"--config=/p"}, wantError: "--config"},
		"php-fpm, an equals sign":               {preset: "php-fpm", args: []string{"-F", "-y=/f", "-dshort_open_tag=1", "-R"}, want: []string{"-y", "/f", "-d", "short_open_tag=1", "-R"}},
		"php-fpm, long options":                 {preset: "php-fpm", args: []string{"--nodaemonize", "--fpm-config", "/f", "--prefix=/p"}, want: []string{"--fpm-config=/f", "--prefix=/p"}},
		"nginx, directives":                     {preset: "nginx", args: []string{"-g", "daemon off;", "-c", "/n"}, want: []string{"-g", "daemon off;", "-c", "/n"}},
		"nginx, joined":                         {preset: "nginx", args: []string{"-c/n", "-p/p", "-e", "stderr"}, want: []string{"-c", "/n", "-p", "/p"}},
		"haproxy, files and folders":            {preset: "haproxy", args: []string{"-W", "-db", "-f", "/a", "-f", "/b", "-C", "/c"}, want: []string{"-f", "/a", "-f", "/b", "-C", "/c"}},
		"haproxy, after a reload":               {preset: "haproxy", args: []string{"-W", "-f", "/a", "-sf", "12", "13", "-x", "sockpair@5"}, want: []string{"-f", "/a"}},
		"haproxy, files after two dashes":       {preset: "haproxy", args: []string{"-Ws", "-dW", "--", "/a", "-b"}, want: []string{"-dW", "--", "/a", "-b"}},
		"haproxy does not join":                 {preset: "haproxy", args: []string{"-f/a"}, wantError: "-f/a"},
		"vector, a file":                        {preset: "vector", args: []string{"-c", "/a", "--config=/b", "--config", "/c"}, want: []string{"/a", "/b", "/c"}},
		"vector, a joined file":                 {preset: "vector", args: []string{"-qc/a", "-c=/b"}, want: []string{"/a", "/b"}},
		"vector, folders":                       {preset: "vector", args: []string{"-C", "/d", "--config-dir=/e"}, want: []string{"-C", "/d", "--config-dir=/e"}},
		"vector, a format":                      {preset: "vector", args: []string{"--config-yaml", "/y", "--config-toml=/t", "--config-json", "/j"}, want: []string{"--config-yaml=/y", "--config-toml=/t", "--config-json=/j"}},
		"vector, what is not of files":          {preset: "vector", args: []string{"-t", "4", "-r", "true", "-w", "-vv", "--require-healthy", "--log-format", "json", "-c/a"}, want: []string{"/a"}},
		"vector, an option that is not known":   {preset: "vector", args: []string{"--enterprise", "-c", "/a"}, wantError: "--enterprise"},
		"vector, a command":                     {preset: "vector", args: []string{"top"}, wantError: "top"},
		"an option without its value":           {preset: "squid", args: []string{"-f"}, wantError: "-f"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row, err := preset.ByName(tc.preset)
			if err != nil {
				t.Fatal(err)
			}
			if row.Grammar == nil {
				t.Fatal("its arguments are not read as the server reads them")
			}
			parsed, err := row.Grammar.Parse(tc.args)
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Errorf("error %v, want one with %s", err, tc.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := parsed.ForValidator(*row.Grammar)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%v; got %q, want %q", err, got, tc.want)
			}
		})
	}
}

func TestArgumentsInATitle(t *testing.T) {
	t.Parallel()
	row, _ := preset.ByName("nginx")
	got, ok := row.Grammar.Words("nginx: master process /usr/sbin/nginx -g daemon off; -c /etc/n.conf")
	if want := []string{"-g", "daemon off;", "-c", "/etc/n.conf"}; !ok || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, ok, want)
	}
	if _, ok := row.Grammar.Words("nginx: worker process"); ok {
		t.Error("a worker's title shows arguments")
	}
}

// read is one step of a reference: letter and value in the order in which getopt(3) returns them.
type read struct{ Letter, Value string }

// getopt is getopt(3) as POSIX describes it, one character after the other.
func getopt(description string, permute bool, args []string) (options []read, operands []string, ok bool) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			return options, append(operands, args...), true
		}
		if word == "-" || word == "" || word[0] != '-' {
			operands = append(operands, word)
			if !permute {
				return options, append(operands, args...), true
			}
			continue
		}
		for rest := word[1:]; rest != ""; {
			letter := rest[:1]
			rest = rest[1:]
			at := strings.Index(description, letter)
			if letter == ":" || at < 0 {
				return nil, nil, false
			}
			colons := len(description[at+1:]) - len(strings.TrimLeft(description[at+1:], ":"))
			value := ""
			switch {
			case colons == 2:
				value, rest = rest, ""
			case colons == 1 && rest != "":
				value, rest = rest, ""
			case colons == 1 && len(args) == 0:
				return nil, nil, false
			case colons == 1:
				value, args = args[0], args[1:]
			}
			options = append(options, read{letter, value})
		}
	}
	return options, operands, true
}

// TestGrammarsReadAsGetoptDoes compares the grammars that are getopt(3) with a plain reading of its description, for
// random arguments.
func TestGrammarsReadAsGetoptDoes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		description string
		permute     bool
	}{
		"flags, values and optional values": {description: "ab:c::d:"},
		"options after operands":            {description: "ab:c::d:", permute: true},
		"the options of httpd":              {description: "C:c:D:d:E:e:f:vVlLtTSMhXk:"},
		"the options of squid":              {description: "CDFNRSVXYza:d:f:hk:lm::n:su:v", permute: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			grammar := preset.Grammar{
				Options: preset.Getopt(tc.description, "", ""), Joined: true, Permuted: tc.permute, Operands: preset.Drop,
			}
			random := rand.New(rand.NewPCG(1, 2))
			letters := strings.ReplaceAll(tc.description, ":", "")
			for range 20_000 {
				args := randomArguments(random, letters)
				wantOptions, wantOperands, ok := getopt(tc.description, tc.permute, args)
				parsed, err := grammar.Parse(args)
				if hasLong(args, tc.description, tc.permute) {
					continue // getopt_long(3) reads these, and getopt(3) something else
				}
				if ok != (err == nil) {
					t.Fatalf("%q: error %v, and getopt takes it: %v", args, err, ok)
				}
				if err != nil {
					continue
				}
				var got []read
				for _, given := range parsed.Options {
					got = append(got, read{strings.TrimPrefix(given.Name, "-"), strings.Join(given.Values, "|")})
				}
				if diff := cmp.Diff(wantOptions, got); diff != "" {
					t.Fatalf("%q: options (-getopt +parse):\n%s", args, diff)
				}
				if !slices.Equal(parsed.Operands, wantOperands) {
					t.Fatalf("%q: operands %q, getopt has %q", args, parsed.Operands, wantOperands)
				}
			}
		})
	}
}

func randomArguments(random *rand.Rand, letters string) []string {
	args := make([]string, random.IntN(6))
	for i := range args {
		var word strings.Builder
		if random.IntN(3) > 0 {
			word.WriteByte('-')
		}
		for range random.IntN(4) {
			switch random.IntN(8) {
			case 0:
				word.WriteString("/")
			case 1:
				word.WriteString("=")
			case 2:
				word.WriteString("-")
			default:
				word.WriteByte(letters[random.IntN(len(letters))])
			}
		}
		args[i] = word.String()
	}
	return args
}

// hasLong reports whether a word that begins with two dashes is read as an option.
func hasLong(args []string, description string, permute bool) bool {
	for i, word := range args {
		if strings.HasPrefix(word, "--") && word != "--" {
			if _, operands, ok := getopt(description, permute, args[:i]); !ok || permute || len(operands) == 0 {
				return true
			}
		}
	}
	return false
}

// What is passed on is read as the same again: by the server's validator, which has the same grammar.
func FuzzWhatIsPassedOnIsReadAgain(f *testing.F) {
	f.Add("-N\x00-f/path\x00-d1")
	f.Add("-y=/x\x00-d\x00a=b")
	f.Add("-W\x00-f\x00/a\x00--\x00/b")
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(joined, "\x00")
		for _, row := range preset.All() {
			if row.Grammar == nil {
				continue
			}
			parsed, err := row.Grammar.Parse(args)
			if err != nil {
				continue
			}
			once, err := parsed.ForValidator(*row.Grammar)
			if err != nil {
				continue
			}
			again, err := row.Grammar.Parse(once)
			if err != nil {
				t.Fatalf("%s: %q is passed on as %q: %v", row.Name, args, once, err)
			}
			twice, err := again.ForValidator(*row.Grammar)
			if err != nil || !slices.Equal(once, twice) {
				t.Fatalf("%s: %q is passed on as %q, and that as %q, %v", row.Name, args, once, twice, err)
			}
		}
	})
}

// TestWhatMattersIsPassedOn finds options that a grammar passes to validators whose template leaves them out.
func TestWhatMattersIsPassedOn(t *testing.T) {
	t.Parallel()
	for _, row := range preset.All() {
		if row.Grammar == nil {
			continue
		}
		for _, template := range slices.Concat(row.Validators, row.Explainers) {
			text := strings.Join(template, " ")
			if strings.Contains(text, preset.Options) || strings.Contains(text, preset.Args) || strings.Contains(text, preset.Title) {
				continue
			}
			for _, o := range row.Grammar.Options {
				used := slices.ContainsFunc(o.Names, func(name string) bool {
					return strings.Contains(text, "{"+name+"}") || strings.Contains(text, "{"+name+"=}")
				})
				if o.Use == preset.Pass && !used {
					t.Errorf("%s: %q leaves out %s", row.Name, text, o.Names[0])
				}
			}
		}
	}
}
