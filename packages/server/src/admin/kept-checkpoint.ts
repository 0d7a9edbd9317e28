import { readFileSync } from "node:fs";
import { ServerError } from "../errors.ts";

/** A checkpoint file somebody kept: what `--against` names. @throws ServerError `config-invalid` when it cannot be read. */
export function readKeptCheckpoint(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new ServerError("config-invalid", `the checkpoint ${path} cannot be read`, {
      cause,
      hint: "name the file you kept",
    });
  }
}
