//! The program `tallystick`. Everything is in the library; this only starts it.

#[cfg(feature = "server")]
fn main() -> std::process::ExitCode {
    tallystick::cli::run()
}

#[cfg(not(feature = "server"))]
fn main() {
    eprintln!("this build has no command line: it was made without the feature `server`");
}
