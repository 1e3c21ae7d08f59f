package preset

import (
	"fmt"
	"slices"
	"strings"
)

// Grammar is how a server reads its arguments, as far as a validator must be given the same. The zero Grammar knows no
// option.
type Grammar struct {
	// Options are all that the server has. One that is not here is an error of Parse.
	Options []Option
	// Joined: the value of a short option may follow in the same word ("-c/path"), and short options may share one ("-tq"),
	// as getopt(3) has it.
	Joined bool
	// ShortEquals: "-y=/path" means "/path" (PHP); with getopt(3) it is "=/path".
	ShortEquals bool
	// OneDash: long options may begin with one dash, too (Go).
	OneDash bool
	// Abbreviated: the beginning of a long name stands for it where it is the only one (getopt_long(3)).
	Abbreviated bool
	// Permuted: options may follow operands, as getopt(3) of GNU has it.
	Permuted bool
	// Operands says what becomes of arguments that are no options.
	Operands Use
	// Title is what stands before the arguments in the title that the process gives itself, such as
	// "nginx: master process "; "" for a server that keeps its arguments, or hides them.
	Title string
}

// Option is one option of a server.
type Option struct {
	// Names begin with their dashes: "-c", "--config".
	Names []string
	Value Value
	Use   Use
	// Path says that the value is a path, which is relative to the directory of the process.
	Path bool
	// Begins: the word only has to begin with the name, such as "-dM" with "-d" (HAProxy).
	Begins bool
	// Bare: the validator gets the values without the name.
	Bare bool
}

// Value says how an option gets its value.
type Value int

// The kinds of Value.
const (
	// NoValue: it has none.
	NoValue Value = iota
	// OneValue: in the same word where the grammar allows it, else the next word.
	OneValue
	// JoinedValue: in the same word or none at all ("-m", "-mvalue", "--name=value").
	JoinedValue
	// WordsValue: all words that follow, up to the next option ("-sf 12 13", HAProxy).
	WordsValue
	// RestValue: all words that follow, whatever they are ("-- a b").
	RestValue
)

// Use says what becomes of an argument when the validator is run.
type Use int

// The kinds of Use.
const (
	// Refuse: its effect on the configuration is unknown, so nothing is validated.
	Refuse Use = iota
	// Drop: it does not matter to the configuration.
	Drop
	// Pass: the validator gets it, too.
	Pass
)

// Given is one option as it was given.
type Given struct {
	Option Option
	// Name is one of the option's names, in full.
	Name string
	// Values are none, one, or for WordsValue and RestValue any number.
	Values []string
}

// Parsed are the arguments of a running process.
type Parsed struct {
	Options  []Given
	Operands []string
}

// Parse reads arguments, without the program's name. An error names the argument that is not understood.
func (g Grammar) Parse(args []string) (Parsed, error) {
	p := parser{grammar: g, rest: args}
	for len(p.rest) > 0 {
		word := p.rest[0]
		p.rest = p.rest[1:]
		rest, known := g.find("--")
		switch {
		case word == "--" && known && rest.Value == RestValue:
			p.put(rest, "--", p.rest)
			p.rest = nil
		case word == "--":
			p.parsed.Operands = append(p.parsed.Operands, p.rest...)
			p.rest = nil
		case word == "-" || !strings.HasPrefix(word, "-"):
			p.parsed.Operands = append(p.parsed.Operands, word)
			if !g.Permuted {
				p.parsed.Operands = append(p.parsed.Operands, p.rest...)
				p.rest = nil
			}
		default:
			if err := p.option(word); err != nil {
				return Parsed{}, err
			}
		}
	}
	if len(p.parsed.Operands) > 0 && g.Operands == Refuse {
		return Parsed{}, fmt.Errorf("argument %q is not known", p.parsed.Operands[0])
	}
	return p.parsed, nil
}

type parser struct {
	grammar Grammar
	rest    []string
	parsed  Parsed
}

func (p *parser) put(o Option, name string, values []string) {
	p.parsed.Options = append(p.parsed.Options, Given{Option: o, Name: name, Values: slices.Clone(values)})
}

// option takes one word that is an option, or several short ones, and what belongs to it of the words that follow.
func (p *parser) option(word string) error {
	name, value, joined := strings.Cut(word, "=")
	if strings.HasPrefix(word, "--") || p.grammar.OneDash {
		o, full, err := p.grammar.long(name)
		if err != nil {
			return err
		}
		return p.take(o, full, value, joined)
	}
	if o, ok := p.grammar.find(word); ok {
		return p.take(o, word, "", false)
	}
	for _, o := range p.grammar.Options {
		if o.Begins && strings.HasPrefix(word, o.Names[0]) {
			return p.take(o, word, "", false)
		}
	}
	if !p.grammar.Joined {
		return unknown(word)
	}
	return p.cluster(word)
}

// cluster takes "-abcVALUE".
func (p *parser) cluster(word string) error {
	for i := 1; i < len(word); i++ {
		name := "-" + word[i:i+1]
		o, ok := p.grammar.find(name)
		switch {
		case !ok:
			return unknown(name)
		case o.Value == NoValue:
			p.put(o, name, nil)
			continue
		}
		value := word[i+1:]
		if p.grammar.ShortEquals {
			value = strings.TrimPrefix(value, "=")
		}
		return p.take(o, name, value, i+1 < len(word))
	}
	return nil
}

// take puts an option with its value, which is in the same word, or has to be looked for.
func (p *parser) take(o Option, name, value string, joined bool) error {
	switch {
	case o.Value == NoValue && joined && !p.grammar.OneDash:
		return fmt.Errorf("option %s has a value, which is not known", name)
	case joined:
		p.put(o, name, []string{value})
	case o.Value == OneValue:
		if len(p.rest) == 0 {
			return fmt.Errorf("option %s lacks its value", name)
		}
		p.put(o, name, p.rest[:1])
		p.rest = p.rest[1:]
	case o.Value == WordsValue:
		n := 0
		for n < len(p.rest) && !strings.HasPrefix(p.rest[n], "-") {
			n++
		}
		p.put(o, name, p.rest[:n])
		p.rest = p.rest[n:]
	default:
		p.put(o, name, nil)
	}
	return nil
}

func unknown(name string) error { return fmt.Errorf("option %s is not known", name) }

// find looks for the option of exactly that name.
func (g Grammar) find(name string) (Option, bool) {
	for _, o := range g.Options {
		if slices.Contains(o.Names, name) {
			return o, true
		}
	}
	return Option{}, false
}

// long looks for a long option, by its beginning where that is allowed.
func (g Grammar) long(name string) (o Option, full string, err error) {
	names := []string{name}
	if g.OneDash { // "-x" and "--x" are the same
		bare := strings.TrimLeft(name, "-")
		names = []string{"-" + bare, "--" + bare}
	}
	for _, each := range names {
		if o, ok := g.find(each); ok {
			return o, each, nil
		}
	}
	if !g.Abbreviated {
		return Option{}, "", unknown(name)
	}
	for _, each := range g.Options {
		for _, n := range each.Names {
			if strings.HasPrefix(n, "--") && strings.HasPrefix(n, name) {
				if full != "" {
					return Option{}, "", fmt.Errorf("option %s is %s or %s", name, full, n)
				}
				o, full = each, n
			}
		}
	}
	if full == "" {
		return Option{}, "", unknown(name)
	}
	return o, full, nil
}

// Values are all values that one of these options was given, in their order.
func (p Parsed) Values(names ...string) []string {
	var values []string
	for _, given := range p.Options {
		for _, name := range given.Option.Names {
			if slices.Contains(names, name) {
				values = append(values, given.Values...)
				break
			}
		}
	}
	return values
}

// ForValidator are the arguments that a validator must be given, too. The error names one that forbids it.
func (p Parsed) ForValidator(g Grammar) ([]string, error) {
	var args []string
	for _, given := range p.Options {
		switch given.Option.Use {
		case Refuse:
			return nil, fmt.Errorf("option %s cannot be given to a validator", given.Name)
		case Drop:
			continue
		case Pass:
		}
		args = append(args, given.words()...)
	}
	if g.Operands == Pass {
		args = append(args, p.Operands...)
	}
	return args, nil
}

// words write an option so that every grammar here understands it: a long option's value is joined by "=".
func (g Given) words() []string {
	switch {
	case g.Option.Bare:
		return g.Values
	case len(g.Values) == 0 && g.Option.Value != RestValue:
		return []string{g.Name}
	case strings.HasPrefix(g.Name, "--") && g.Option.Value != RestValue && len(g.Values) == 1:
		return []string{g.Name + "=" + g.Values[0]}
	case g.Option.Value == JoinedValue:
		return []string{g.Name + g.Values[0]}
	}
	return append([]string{g.Name}, g.Values...)
}

// Relative is the first value that is a relative path, "" for none: without the directory of the process it cannot be
// found.
func (p Parsed) Relative() string {
	for _, given := range p.Options {
		for _, value := range given.Values {
			if given.Option.Path && given.Option.Use == Pass && !strings.HasPrefix(value, "/") {
				return given.Name + " " + value
			}
		}
	}
	return ""
}

// Getopt makes options of the description that getopt(3) takes: "ab:c::". All of them have the given use; those of pass
// are passed on, and are paths if their letter stands in paths.
func Getopt(description, pass, paths string) []Option {
	var options []Option
	for i := 0; i < len(description); {
		letter := description[i : i+1]
		i++
		o := Option{Names: []string{"-" + letter}, Use: Drop, Path: strings.Contains(paths, letter)}
		switch {
		case strings.HasPrefix(description[i:], "::"):
			o.Value, i = JoinedValue, i+2
		case strings.HasPrefix(description[i:], ":"):
			o.Value, i = OneValue, i+1
		}
		if strings.Contains(pass, letter) {
			o.Use = Pass
		}
		options = append(options, o)
	}
	return options
}

// Words are the arguments that stand in a title, "" for another title. They are split at spaces, which is the best that
// is left; the value of -g of nginx, which ends with a semicolon, is put together again.
func (g Grammar) Words(title string) ([]string, bool) {
	_, rest, ok := strings.Cut(title, g.Title)
	if g.Title == "" || !ok {
		return nil, false
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return nil, false
	}
	var words []string
	for _, field := range fields[1:] { // the first is the program
		if n := len(words); n > 1 && g.opens(words[n-2]) && !strings.HasPrefix(field, "-") {
			words[n-1] += " " + field
			continue
		}
		words = append(words, field)
	}
	return words, true
}

// opens reports whether a word is an option whose value is all that follows up to the next option.
func (g Grammar) opens(word string) bool {
	o, ok := g.find(word)
	return ok && o.Value == OneValue && !o.Path
}
