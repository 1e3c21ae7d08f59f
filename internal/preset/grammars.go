package preset

// The options of the servers, from their manual pages and sources. An option that is missing here is an option whose
// form is not known, and for which nobody has thought what it does to the configuration: a server that does not survive
// a bad file is then not reloaded.

func nginxGrammar() Grammar {
	return Grammar{
		// -p prefix, -c file, -e error log, -g directives, -s signal.
		Options: Getopt("?hvVtTqp:c:e:g:s:", "pcg", "pc"), Joined: true, Title: "nginx: master process ",
	}
}

func haproxyGrammar() Grammar {
	return Grammar{Options: []Option{
		{Names: []string{"-f"}, Value: OneValue, Use: Pass, Path: true},
		{Names: []string{"-C"}, Value: OneValue, Use: Pass, Path: true}, // changes to this directory before it reads
		{Names: []string{"-L"}, Value: OneValue, Use: Pass},             // its name among peers
		{Names: []string{"-dW"}, Use: Pass},                             // warnings are errors
		{Names: []string{"--"}, Value: RestValue, Use: Pass, Path: true},
		{Names: []string{"-n", "-N", "-m", "-p", "-x", "-S"}, Value: OneValue, Use: Drop},
		{Names: []string{"-sf", "-st"}, Value: WordsValue, Use: Drop},
		{Names: []string{"-W", "-Ws", "-D", "-q", "-V", "-4", "-v", "-vv"}, Use: Drop},
		{Names: []string{"-d"}, Begins: true, Use: Drop}, // debugging and pollers
	}}
}

// apacheGrammar is that of httpd: -D parameter, -d server root, -f file, -C and -c directives, -T no check of document
// roots. A single process (-X) has no workers to be renewed.
func apacheGrammar() Grammar {
	return Grammar{Options: Getopt("C:c:D:d:E:e:f:vVlLtTSMhXk:", "CcDdfT", "df"), Joined: true}
}

func squidGrammar() Grammar {
	options := Getopt("CDFNRSVXYza:d:f:hk:lm::n:su:v?", "afnu", "f")
	return Grammar{
		Options: append(options,
			Option{Names: []string{"--foreground"}, Use: Drop},
			Option{Names: []string{"--kid"}, Value: OneValue, Use: Drop},
			Option{Names: []string{"--help", "--version"}, Use: Drop}),
		Joined: true, Permuted: true, Abbreviated: true,
	}
}

// phpGrammar is that of php-fpm, for as long as it has not hidden its arguments behind a title.
func phpGrammar() Grammar {
	return Grammar{
		Options: append(Getopt("neimvthDFO", "n", ""),
			Option{Names: []string{"-c"}, Value: OneValue, Use: Pass, Path: true},
			Option{Names: []string{"-d", "--define"}, Value: OneValue, Use: Pass},
			Option{Names: []string{"-p", "--prefix"}, Value: OneValue, Use: Pass, Path: true},
			Option{Names: []string{"-y", "--fpm-config"}, Value: OneValue, Use: Pass, Path: true},
			Option{Names: []string{"-R", "--allow-to-run-as-root"}, Use: Pass},
			Option{Names: []string{"-g", "--pid"}, Value: OneValue, Use: Drop},
			Option{Names: []string{"--daemonize", "--nodaemonize", "--force-stderr", "--test"}, Use: Drop}),
		Joined: true, ShortEquals: true,
	}
}
