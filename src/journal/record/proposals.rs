//! Proposals and verdicts as bytes, for records and for snapshots.
//!
//! What must stay true: whatever the bytes are, the answer is a change or an error; a change has one form only.

use super::{KIND_PROPOSAL, KIND_VERDICT};
use crate::access::proposals::{Act, Proposal, ProposalChange, Verdict};
use crate::codec::{DecodeError, Reader, put_string, put_unsigned};
use crate::ledger::types::{SymbolId, TimestampNs};

/// Appends the kind and the fields.
pub fn encode_proposal_change(out: &mut Vec<u8>, change: &ProposalChange) {
    match change {
        ProposalChange::Proposed(proposal) => {
            out.push(KIND_PROPOSAL);
            encode_proposal(out, proposal);
        }
        ProposalChange::Settled(verdict) => {
            out.push(KIND_VERDICT);
            put_unsigned(out, u64::from(verdict.number));
            out.push(u8::from(verdict.confirms));
            put_string(out, &verdict.by);
            out.extend_from_slice(&verdict.at.0.to_le_bytes());
            put_string(out, &verdict.note);
        }
    }
}

/// Appends the fields of a proposal.
pub fn encode_proposal(out: &mut Vec<u8>, proposal: &Proposal) {
    put_unsigned(out, u64::from(proposal.number));
    out.push(proposal.act.number());
    put_unsigned(out, u64::from(proposal.partner.0));
    put_string(out, &proposal.transaction_id);
    put_string(out, &proposal.by);
    out.extend_from_slice(&proposal.at.0.to_le_bytes());
    out.extend_from_slice(&proposal.expires_at.0.to_le_bytes());
    put_unsigned(out, proposal.content.len() as u64);
    out.extend_from_slice(&proposal.content);
}

/// Reads the fields of a change of this kind.
///
/// # Errors
/// When the bytes are not what [`encode_proposal_change`] writes.
pub fn decode_proposal_change(kind: u8, reader: &mut Reader<'_>) -> Result<ProposalChange, DecodeError> {
    match kind {
        KIND_PROPOSAL => Ok(ProposalChange::Proposed(Box::new(decode_proposal(reader)?))),
        KIND_VERDICT => Ok(ProposalChange::Settled(Verdict {
            number: reader.number()?,
            confirms: match reader.byte()? {
                0 => false,
                1 => true,
                _ => return Err(DecodeError::UnknownTag),
            },
            by: reader.string()?.into(),
            at: time(reader)?,
            note: reader.string()?.into(),
        })),
        _ => Err(DecodeError::UnknownTag),
    }
}

/// Reads the fields of a proposal.
///
/// # Errors
/// When the bytes are not what [`encode_proposal`] writes.
pub fn decode_proposal(reader: &mut Reader<'_>) -> Result<Proposal, DecodeError> {
    let number = reader.number()?;
    let act = Act::from_number(reader.byte()?).ok_or(DecodeError::UnknownTag)?;
    let partner = SymbolId(reader.number()?);
    let (transaction_id, by) = (reader.string()?.into(), reader.string()?.into());
    let (at, expires_at) = (time(reader)?, time(reader)?);
    let count = reader.count()?;
    let content = reader.bytes(count)?.into();
    Ok(Proposal { number, act, partner, transaction_id, by, at, expires_at, content })
}

fn time(reader: &mut Reader<'_>) -> Result<TimestampNs, DecodeError> {
    Ok(TimestampNs(i64::from_le_bytes(reader.array()?)))
}
