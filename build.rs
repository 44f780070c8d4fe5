//! Generates the wire types of `proto/` for the `server` feature, with a compiler written in Rust: nobody needs protoc.
//!
//! What must stay true: without the feature this does nothing and needs no dependency; the descriptor set written here
//! is complete (imports included), so that reflection can serve it as it is.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "server")]
    wire::generate()?;
    Ok(())
}

#[cfg(feature = "server")]
mod wire {
    use std::error::Error;
    use std::path::PathBuf;

    use protox::prost::Message;

    /// The root that import paths are relative to.
    const ROOT: &str = "proto";

    /// Every file of the package, in reading order.
    const FILES: [&str; 5] = [
        "tallystick/v1/ledger_service.proto",
        "tallystick/v1/decision.proto",
        "tallystick/v1/error_reason.proto",
        "tallystick/v1/program_service.proto",
        "tallystick/v1/admin_service.proto",
    ];

    /// Writes `tallystick.v1.rs` and `tallystick.bin`, the descriptor set, into the build's output directory.
    pub fn generate() -> Result<(), Box<dyn Error>> {
        println!("cargo::rerun-if-changed={ROOT}");
        // The comments stay in the descriptors: reflection clients show them.
        let descriptors = protox::compile(FILES, [ROOT])?;
        let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
        std::fs::write(out_dir.join("tallystick.bin"), descriptors.encode_to_vec())?;
        tonic_prost_build::configure().compile_fds(descriptors)?;
        Ok(())
    }
}
