package process

import "strings"

// interpreter says how the options of a program look that runs a script.
type interpreter struct {
	// code are the letters of options after which there is no script (python -c), script those whose value is the script
	// or the module (python -m).
	code, script string
	// value are the letters of options with a value, joined or in the next word; joined those that take the rest of their
	// own word only.
	value, joined string
	// long are whole words that are options with their value in the next word.
	long string
	// words says that an option is a whole word even after one dash (java -jar).
	words bool
}

// interpreterOf is what is known of a program whatever its version, ok is false for one that runs no script.
func interpreterOf(program string) (i interpreter, ok bool) {
	switch strings.TrimRight(program, "0123456789.") {
	case "python", "pypy":
		return interpreter{code: "c", script: "m", value: "WXQ", long: " --check-hash-based-pycs "}, true
	case "perl":
		return interpreter{code: "eE", value: "I", joined: "MmxiCDF0ldV"}, true
	case "ruby":
		return interpreter{code: "e", value: "IrEC", joined: "0FixTKW", long: " --encoding --external-encoding "}, true
	case "node", "nodejs":
		return interpreter{
			code: "ep", value: "rC",
			long: " --require --import --loader --experimental-loader --conditions --env-file --title ",
		}, true
	case "php":
		return interpreter{code: "rBR", script: "f", value: "cdzSt"}, true
	case "lua":
		return interpreter{code: "e", value: "l"}, true
	case "sh", "bash", "dash", "ash", "ksh", "zsh":
		return interpreter{code: "c", value: "oO", long: " --rcfile --init-file "}, true
	case "java":
		return interpreter{
			words: true, long: " -cp -classpath --class-path -p --module-path --add-modules --add-opens --add-exports --add-reads " +
				"--limit-modules --patch-module --upgrade-module-path ",
		}, true
	case "dotnet":
		return interpreter{words: true, long: " --additionalprobingpath --depsfile --runtimeconfig --fx-version --roll-forward "}, true
	}
	return interpreter{}, false
}

// scriptOf is the script or module that an interpreter was given, and how many words come before its arguments. Without
// a script these are the words before the interpreter's own arguments.
func scriptOf(args []string) (script string, words int) {
	if len(args) < 2 {
		return "", 1
	}
	known, ok := interpreterOf(programName(args[0]))
	if !ok {
		return "", 1
	}
	for at := 1; at < len(args); at++ {
		word := args[at]
		switch {
		case word == "--":
			return nth(args, at+1)
		case word == "-", word == "":
			return "", 1
		case word == "exec" && known.words, number(word): // dotnet exec app.dll; node --stack-size 4096 app.js
			continue
		case word[0] != '-' && (word[0] != '+' || !strings.Contains(known.value, "o")): // shells know +x
			return word, at + 1
		}
		next, isScript, none := known.option(word)
		switch {
		case none:
			return "", 1
		case isScript != "":
			return isScript, at + 1
		case next == scriptNext:
			return nth(args, at+1)
		case next == valueNext:
			at++
		}
	}
	return "", 1
}

func nth(args []string, at int) (script string, words int) {
	if at >= len(args) {
		return "", 1
	}
	return args[at], at + 1
}

// What the word after an option is.
type following int

const (
	nothing following = iota
	valueNext
	scriptNext
)

// option reads one word of options. none says that no script follows at all.
func (i interpreter) option(word string) (next following, script string, none bool) {
	switch {
	case strings.Contains(i.long, " "+word+" "):
		return valueNext, "", false
	case i.words && (word == "-jar" || word == "-m" || word == "--module"):
		return scriptNext, "", false
	case i.words:
		return nothing, "", false
	case word == "--eval" || word == "--print" || word == "--command":
		return nothing, "", true
	case strings.HasPrefix(word, "--"):
		return nothing, "", false
	}
	for at, letter := range word[1:] {
		rest := word[1+at+len(string(letter)):]
		switch {
		case strings.ContainsRune(i.code, letter):
			return nothing, "", true
		case strings.ContainsRune(i.script, letter):
			return scriptNext, rest, false
		case strings.ContainsRune(i.joined, letter):
			return nothing, "", false
		case strings.ContainsRune(i.value, letter) && rest == "":
			return valueNext, "", false
		case strings.ContainsRune(i.value, letter):
			return nothing, "", false
		}
	}
	return nothing, "", false
}

func number(word string) bool { return strings.Trim(word, "0123456789") == "" }
