/**
 * The error class of this library. Every kind of bad input throws an SdzError whose `code` is the name of the Python runtime's exception
 * for the same fault, so that the same tests apply to both languages.
 */

/**
 * @typedef {"NotAnSdzError" | "UnsupportedVersionError" | "CorruptFileError" | "LimitError"
 *   | "MissingPackError" | "CorruptPackError"
 *   | "EncodeInputError" | "ProviderError" | "CoreError" | "NetworkError"} SdzErrorCode
 */
// NetworkError has no Python counterpart, because the Python runtime downloads nothing

export class SdzError extends Error {
  /**
   * @param {SdzErrorCode} code
   * @param {string} message what was wrong, where, and what to do
   * @param {{offset?: number, field?: string}} [where] the byte at which the offending field begins, and its name in FORMAT.md
   */
  constructor(code, message, { offset, field } = {}) {
    const place = field === undefined ? "" : offset === undefined ? ` (field '${field}')` : ` (field '${field}' at byte ${offset})`;
    super(message + place);
    this.name = "SdzError";
    this.code = code;
    this.offset = offset;
    this.field = field;
  }
}

/**
 * Anything thrown as an SdzError: what the platform throws by itself becomes `code`.
 * @param {unknown} error
 * @param {SdzErrorCode} code
 * @returns {SdzError}
 */
export function asSdzError(error, code) {
  if (error instanceof SdzError) return error;
  return new SdzError(code, error instanceof Error ? error.message : String(error));
}

/**
 * What `use` returns; a CorruptFileError of the core's, which knows no file, gets its place.
 * @template T
 * @param {() => T} use @param {number | undefined} offset @param {string} field
 * @returns {T}
 */
export function located(use, offset, field) {
  try {
    return use();
  } catch (error) {
    if (error instanceof SdzError && error.code === "CorruptFileError") throw new SdzError(error.code, error.message, { offset, field });
    throw error;
  }
}
