//! Changes of keys as bytes, for records and for snapshots.
//!
//! What must stay true: whatever the bytes are, the answer is a change or an error; a change has one form only.

use super::{KIND_KEY_ISSUED, KIND_KEY_REVOKED};
use crate::access::grant::{Grant, Role};
use crate::access::keys::{KeyChange, KeyId, KeyIssue, Proof};
use crate::codec::{DecodeError, Reader, put_string, put_unsigned};
use crate::ledger::types::TimestampNs;

const PROOF_SECRET: u8 = 1;
const PROOF_CERTIFICATE: u8 = 2;

/// Appends the kind and the fields.
pub fn encode_key_change(out: &mut Vec<u8>, change: &KeyChange) {
    match change {
        KeyChange::Issued(issue) => {
            out.push(KIND_KEY_ISSUED);
            encode_issue(out, issue);
        }
        KeyChange::Revoked { id, at, by } => {
            out.push(KIND_KEY_REVOKED);
            out.extend_from_slice(&id.0);
            out.extend_from_slice(&at.0.to_le_bytes());
            put_string(out, by);
        }
    }
}

fn encode_issue(out: &mut Vec<u8>, issue: &KeyIssue) {
    out.extend_from_slice(&issue.id.0);
    match &issue.proof {
        Proof::Secret(hash) => {
            out.push(PROOF_SECRET);
            out.extend_from_slice(hash);
        }
        Proof::Certificate(name) => {
            out.push(PROOF_CERTIFICATE);
            put_string(out, name);
        }
    }
    put_string(out, &issue.name);
    out.push(issue.grant.role.number());
    put_string(out, &issue.grant.partner);
    for names in [&issue.grant.stores, &issue.grant.terminals] {
        put_unsigned(out, names.len() as u64);
        names.iter().for_each(|name| put_string(out, name));
    }
    out.extend_from_slice(&issue.issued_at.0.to_le_bytes());
    out.extend_from_slice(&issue.expires_at.0.to_le_bytes());
    put_string(out, &issue.issued_by);
    match issue.replaces {
        None => out.push(0),
        Some((old, until)) => {
            out.push(1);
            out.extend_from_slice(&old.0);
            out.extend_from_slice(&until.0.to_le_bytes());
        }
    }
}

/// Reads the fields of a change of this kind.
///
/// # Errors
/// When the bytes are not what [`encode_key_change`] writes.
pub fn decode_key_change(kind: u8, reader: &mut Reader<'_>) -> Result<KeyChange, DecodeError> {
    match kind {
        KIND_KEY_ISSUED => Ok(KeyChange::Issued(Box::new(decode_issue(reader)?))),
        KIND_KEY_REVOKED => {
            let id = KeyId(reader.array()?);
            Ok(KeyChange::Revoked { id, at: time(reader)?, by: reader.string()?.into() })
        }
        _ => Err(DecodeError::UnknownTag),
    }
}

/// Reads a change of keys that is all there is.
///
/// # Errors
/// When the bytes are not what [`encode_key_change`] writes.
pub fn decode_whole_key_change(bytes: &[u8]) -> Result<KeyChange, DecodeError> {
    let mut reader = Reader::new(bytes);
    let kind = reader.byte()?;
    let change = decode_key_change(kind, &mut reader)?;
    reader.finish()?;
    Ok(change)
}

fn decode_issue(reader: &mut Reader<'_>) -> Result<KeyIssue, DecodeError> {
    let id = KeyId(reader.array()?);
    let proof = match reader.byte()? {
        PROOF_SECRET => Proof::Secret(reader.array()?),
        PROOF_CERTIFICATE => Proof::Certificate(reader.string()?.into()),
        _ => return Err(DecodeError::UnknownTag),
    };
    let name = reader.string()?.into();
    let role = Role::from_number(reader.byte()?).ok_or(DecodeError::UnknownTag)?;
    let partner = reader.string()?.into();
    let grant = Grant { role, partner, stores: names(reader)?, terminals: names(reader)? };
    let (issued_at, expires_at) = (time(reader)?, time(reader)?);
    let issued_by = reader.string()?.into();
    let replaces = match reader.byte()? {
        0 => None,
        1 => Some((KeyId(reader.array()?), time(reader)?)),
        _ => return Err(DecodeError::UnknownTag),
    };
    Ok(KeyIssue { id, proof, name, grant, issued_at, expires_at, issued_by, replaces })
}

fn names(reader: &mut Reader<'_>) -> Result<Vec<Box<str>>, DecodeError> {
    let count = reader.count()?;
    (0..count).map(|_| reader.string().map(Box::from)).collect()
}

fn time(reader: &mut Reader<'_>) -> Result<TimestampNs, DecodeError> {
    Ok(TimestampNs(i64::from_le_bytes(reader.array()?)))
}
