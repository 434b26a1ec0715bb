/** Tags as one line of text, which Runlog's other editors show and read alike. */

/** As they are shown. */
export function shownTags(tags: readonly string[]): string {
  return tags.join(', ');
}

/** What somebody meant who was shown `tags` and has `typed` this: a tag that holds commas goes only with all of its pieces. */
export function tagChange(tags: readonly string[], typed: string): { addTags: string[]; removeTags: string[] } {
  const before = pieces(shownTags(tags));
  const now = pieces(typed);
  return {
    addTags: now.filter((piece) => !before.includes(piece)),
    removeTags: tags.filter((tag) => pieces(tag).length > 0 && !pieces(tag).some((piece) => now.includes(piece))),
  };
}

function pieces(text: string): string[] {
  return [...new Set(text.split(',').map((piece) => piece.trim()).filter((piece) => piece !== ''))];
}
