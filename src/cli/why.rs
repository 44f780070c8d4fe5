//! `tallystick why`: a transaction in the words of its programme.

use serde_json::json;

use super::client::{Server, ServerArgs, call, runtime};
use super::error::CliError;
use super::output::Output;
use crate::limits;
use crate::service::wire::{ExplainTransactionRequest, ExplainTransactionResponse};

/// Says why a transaction was decided as it was
///
/// The sentences are those of the version of the programme that judged it, in English where its file has no others.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// The transaction, of the partner that the key acts for
    #[arg(value_name = "TRANSACTION")]
    transaction_id: String,
    /// The language to answer in, such as de or pt-BR; English if not given, or if the programme has no such words
    #[arg(long, value_name = "TAG", default_value = "", value_parser = parse_language)]
    language: String,
    #[command(flatten)]
    server: ServerArgs,
}

fn parse_language(text: &str) -> Result<String, String> {
    let is_tag = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_tag && text.len() <= limits::LANGUAGE_TAG_BYTES_MAX {
        Ok(text.to_owned())
    } else {
        Err("a tag of a language is like de or pt-BR".to_owned())
    }
}

/// Runs the command.
///
/// # Errors
/// When the server cannot be asked, or has no such transaction.
pub fn run(args: &WhyArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let request =
        ExplainTransactionRequest { transaction_id: args.transaction_id.clone(), language: args.language.clone() };
    let answer = runtime()?.block_on(async {
        let mut clients = server.connect().await?;
        let answer = clients.ledger.explain_transaction(call(request)).await;
        answer.map_err(|status| server.failure("the reasons of the transaction", &status))
    })?;
    let ExplainTransactionResponse { transaction_id, language, sentences } = answer.into_inner();
    for sentence in &sentences {
        out.line(sentence)?;
    }
    out.object(&json!({ "transaction_id": transaction_id, "language": language, "sentences": sentences }))
}
