package reload

import (
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// endpoints are the URLs that are called.
func (r *Reloader) endpoints() []*Endpoint {
	var all []*Endpoint
	for _, e := range []*Endpoint{r.Plan.URL, r.Plan.VerifyURL, r.Plan.Access.Page(r.Plan.Access.Server)} {
		if e != nil {
			all = append(all, e)
		}
	}
	return all
}

// secretFiles are files that hold secrets although nobody watches them: what headers are made of, and a body that is not
// watched, or kept where Secrets are.
func (r *Reloader) secretFiles() []string {
	files := slices.Collect(maps.Values(r.Plan.Access.HeaderFiles))
	for _, e := range []*Endpoint{r.Plan.URL, r.Plan.VerifyURL} {
		if e == nil {
			continue
		}
		files = slices.AppendSeq(files, maps.Values(e.HeaderFiles))
		if e.BodyFile == "" {
			continue
		}
		if tmpfs, _ := onTmpfs(e.BodyFile); tmpfs || !r.watches(e.BodyFile) {
			files = append(files, e.BodyFile)
		}
	}
	return files
}

func (r *Reloader) watches(file string) bool {
	return slices.ContainsFunc(r.Secrets, func(path string) bool {
		below, err := filepath.Rel(path, file)
		return err == nil && filepath.IsLocal(below)
	})
}

// settings gives what may be secret in the settings: users and queries of URLs, arguments that are passwords by their
// names, and the environment, which commands inherit.
func (r *Reloader) settings(do func(value string)) {
	urls := []string{r.Plan.Row.Proof.URL}
	for _, e := range r.endpoints() {
		urls = append(urls, e.URL)
		for _, value := range e.Headers {
			if strings.ContainsAny(value, " ") {
				do(value)
			}
		}
	}
	for _, text := range urls {
		credentials(text, do)
	}
	r.Plan.Access.Accepted.each(do)
	arguments(r.Plan.Command, do)
	for _, argv := range r.Plan.Row.Validators {
		arguments(argv, do)
	}
	for _, argv := range r.Plan.Row.Explainers {
		arguments(argv, do)
	}
	if !r.Plan.Process.IsZero() {
		if p, err := r.Table.Meant(r.Plan.Process, r.Plan.Signal); err == nil {
			arguments(p.Args, do)
		}
	}
	for _, pair := range r.Environment {
		variable(pair, do)
	}
}

// credentials gives what shownURL leaves out.
func credentials(text string, do func(value string)) {
	before, query, _ := strings.Cut(text, "?")
	query, fragment, _ := strings.Cut(query, "#")
	if _, rest, ok := strings.Cut(before, "//"); ok {
		host, _, _ := strings.Cut(rest, "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			do(host[:at])
			user, password, _ := strings.Cut(host[:at], ":")
			decoded(user, do)
			decoded(password, do)
		}
	}
	for _, part := range []string{query, fragment} {
		if part == "" {
			continue
		}
		do(part)
		for pair := range strings.FieldsFuncSeq(part, func(c rune) bool { return c == '&' || c == ';' }) {
			name, value, set := strings.Cut(pair, "=")
			if !set {
				value = name
			}
			decoded(value, do)
		}
	}
}

func decoded(text string, do func(value string)) {
	if text == "" {
		return
	}
	do(text)
	if plain, err := url.QueryUnescape(text); err == nil && plain != text {
		do(plain)
	}
}

// arguments gives those words of a command line that are secret by what stands before them, and credentials in URLs.
func arguments(argv []string, do func(value string)) {
	for i, word := range argv {
		name, value, set := strings.Cut(word, "=")
		switch {
		case set && sensitive(name):
			do(value)
		case strings.Contains(word, "://"):
			credentials(word, do)
		case !set && strings.HasPrefix(word, "-") && i+1 < len(argv) && (sensitive(word) || word == "-u" || word == "--user"):
			do(argv[i+1])
		}
		if name, value, set := strings.Cut(word, ": "); set && sensitive(name) { // a header
			do(value)
		}
	}
}

func sensitive(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"pass", "secret", "token", "key", "cred", "auth", "pwd"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}

// variable gives the value of a variable of the environment that may be a secret. Names of hosts, ports and folders are
// none, nor what is short enough to stand in any message.
func variable(pair string, do func(value string)) {
	const least = 6
	name, value, _ := strings.Cut(pair, "=")
	switch {
	case sensitive(name) && len(value) > 1:
		do(value)
	case len(value) < least, filepath.IsAbs(value), publicVariable(name):
	case strings.Contains(value, "://"):
		credentials(value, do)
	default:
		do(value)
	}
}

func publicVariable(name string) bool {
	if slices.Contains([]string{"HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TZ", "USER"}, name) {
		return true
	}
	return strings.HasPrefix(name, "INPOD_") || strings.HasPrefix(name, "KUBERNETES_") || strings.HasPrefix(name, "LC_") ||
		strings.HasSuffix(name, "_SERVICE_HOST") || strings.HasSuffix(name, "_SERVICE_PORT") || strings.Contains(name, "_PORT_") ||
		strings.HasSuffix(name, "_VERSION") || strings.HasSuffix(name, "_PORT")
}
