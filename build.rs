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
    const FILES: [&str; 11] = [
        "tallystick/v1/ledger_service.proto",
        "tallystick/v1/account_service.proto",
        "tallystick/v1/decision.proto",
        "tallystick/v1/error_reason.proto",
        "tallystick/v1/program_service.proto",
        "tallystick/v1/admin_service.proto",
        "tallystick/v1/operator_service.proto",
        "tallystick/v1/access_service.proto",
        "tallystick/v1/fraud_service.proto",
        "tallystick/v1/approval_service.proto",
        "tallystick/v1/settlement_service.proto",
    ];

    /// Messages that the server takes and gives as bytes: it reads and writes them by itself.
    const HOT: [&str; 6] = [
        "AccrueRequest",
        "AccrueResponse",
        "AccrueBatchRequest",
        "AccrueBatchResponse",
        "CommandStreamRequest",
        "CommandStreamResponse",
    ];

    /// Writes `tallystick.v1.rs` (messages, clients, and servers of whole messages), `server/tallystick.v1.rs` (the server's side) and
    /// `tallystick.bin` (the descriptor set) into the build's output directory.
    pub fn generate() -> Result<(), Box<dyn Error>> {
        println!("cargo::rerun-if-changed={ROOT}");
        // The comments stay in the descriptors: reflection clients show them.
        let descriptors = protox::compile(FILES, [ROOT])?;
        let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
        std::fs::write(out_dir.join("tallystick.bin"), descriptors.encode_to_vec())?;
        tonic_prost_build::configure().compile_fds(descriptors.clone())?;
        // The server's side by itself: the same messages, but for those of the hot calls, which stay bytes. What is no message
        // it refuses in its own words.
        let server_dir = out_dir.join("server");
        std::fs::create_dir_all(&server_dir)?;
        let mut builder = tonic_prost_build::configure()
            .build_client(false)
            .out_dir(server_dir)
            .codec_path("crate::service::wire_codec::ServerCodec")
            .extern_path(".tallystick.v1", "crate::service::wire");
        for message in HOT {
            builder = builder.extern_path(format!(".tallystick.v1.{message}"), "crate::service::raw::Raw");
        }
        builder.compile_fds(descriptors)?;
        Ok(())
    }
}
