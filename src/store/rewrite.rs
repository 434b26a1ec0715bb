//! stub
#[derive(Debug, thiserror::Error)] #[error("bad")] pub struct RewriteError;
pub fn pretty(t: &str) -> Result<Vec<u8>, RewriteError> { let v: serde_json::Value = serde_json::from_str(t).map_err(|_| RewriteError)?; serde_json::to_vec_pretty(&v).map_err(|_| RewriteError) }
