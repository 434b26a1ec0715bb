//! stub
use std::borrow::Cow; use serde_json::value::RawValue;
#[derive(Debug, thiserror::Error)]
pub enum JsonError { #[error("syntax at {offset}")] Syntax{offset:u64}, #[error("utf8")] Utf8{offset:u64}, #[error("deep")] Depth{limit:usize}, #[error("short")] Truncated{offset:u64}, #[error("io")] Io(std::io::Error) }
#[derive(Debug, Clone, Copy, PartialEq, Eq)] pub enum Kind { Object, Array, String, Number, True, False, Null }
pub fn check(t:&[u8], max:usize)->Result<(&str,Kind),JsonError>{ let s=std::str::from_utf8(t).map_err(|_|JsonError::Utf8{offset:0})?; let mut d=0usize; for b in s.bytes(){ match b {b'['|b'{'=>{d+=1; if d>max {return Err(JsonError::Depth{limit:max})}} b']'|b'}'=>d=d.saturating_sub(1),_=>{}}} serde_json::from_str::<&RawValue>(s).map_err(|_|JsonError::Syntax{offset:0})?; Ok((s, match s.trim_start().as_bytes().first(){Some(b'{')=>Kind::Object,Some(b'[')=>Kind::Array,Some(b'"')=>Kind::String,Some(b't')=>Kind::True,Some(b'f')=>Kind::False,Some(b'n')=>Kind::Null,_=>Kind::Number})) }
struct M<'a>(Vec<(String,&'a RawValue)>);
impl<'de: 'a,'a> serde::Deserialize<'de> for M<'a>{ fn deserialize<D:serde::Deserializer<'de>>(d:D)->Result<Self,D::Error>{ struct V; impl<'de> serde::de::Visitor<'de> for V { type Value=Vec<(String,&'de RawValue)>; fn expecting(&self,_:&mut std::fmt::Formatter<'_>)->std::fmt::Result{Ok(())} fn visit_map<A:serde::de::MapAccess<'de>>(self,mut m:A)->Result<Self::Value,A::Error>{let mut v=vec![];while let Some(e)=m.next_entry()?{v.push(e)}Ok(v)}} d.deserialize_map(V).map(M)}}
pub fn members(t:&str)->impl Iterator<Item=(Cow<'_,str>,&str)>{ serde_json::from_str::<M<'_>>(t).map(|m|m.0).unwrap_or_default().into_iter().map(|(k,v)|(Cow::Owned(k),v.get())) }
pub fn elements(t:&str)->impl Iterator<Item=&str>{ serde_json::from_str::<Vec<&RawValue>>(t).unwrap_or_default().into_iter().map(|v|v.get()) }
pub fn decode_string(t:&str)->Cow<'_,str>{ Cow::Owned(serde_json::from_str::<String>(t).unwrap_or_default()) }
