export function states() {}
