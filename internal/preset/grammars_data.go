package preset

// namedGrammar is that of BIND 9. Of its options, -c and -t (chroot) say which files it reads.
func namedGrammar() Grammar {
	return Grammar{Options: Getopt("46A:c:Cd:D:E:fFgi:l:L:M:m:n:N:p:P:sS:t:T:U:u:vVx:X:", "ct", ""), Joined: true}
}

// vectorGrammar is that of Vector. Its validator knows the options that name folders and files of one format, and takes other files
// as arguments. Variables may name files, too (VECTOR_CONFIG), and the validator reads the same ones. What some versions
// take for a flag has a value of true or false in others.
func vectorGrammar() Grammar {
	file := func(names ...string) Option { return Option{Names: names, Value: OneValue, Use: Pass, Path: true} }
	return Grammar{
		Options: []Option{
			{Names: []string{"-c", "--config"}, Value: OneValue, Use: Pass, Path: true, Bare: true},
			file("-C", "--config-dir"),
			file("--config-toml"), file("--config-yaml"), file("--config-json"),
			{Names: []string{"-t", "--threads"}, Value: OneValue, Use: Drop},
			{Names: []string{"--log-format", "--color", "-i", "--internal-log-rate-limit", "--graceful-shutdown-limit-secs"}, Value: OneValue, Use: Drop},
			{Names: []string{"--watch-config-method", "--watch-config-poll-interval-seconds"}, Value: OneValue, Use: Drop},
			{Names: []string{"-r", "--require-healthy"}, Value: WordsValue, Use: Drop},
			{Names: []string{"-v", "--verbose", "-q", "--quiet", "-w", "--watch-config"}, Use: Drop},
			{Names: []string{"--no-graceful-shutdown-limit", "--allow-empty-config"}, Use: Drop},
			{Names: []string{"--openssl-legacy-provider", "--openssl-no-probe"}, Value: WordsValue, Use: Drop},
		},
		Joined: true, ShortEquals: true,
	}
}

// unboundGrammar is that of Unbound.
func unboundGrammar() Grammar {
	return Grammar{Options: Getopt("c:dhpvV", "c", "c"), Joined: true}
}
