//go:build presets

package presettest

// webApps are the web servers of the matrix.
func webApps() []app {
	return []app{nginxApp()}
}
