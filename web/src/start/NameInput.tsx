/** The name that others in the room see, to type. */

import { t } from '../strings/strings';
import { Field } from '../ui/Field';

interface Props {
  label: string;
  name: string;
  onName: (name: string) => void;
}

export function NameInput({ label, name, onName }: Props) {
  return (
    <Field label={label}>
      <input
        value={name}
        maxLength={60}
        dir="auto"
        placeholder={t.start.guest}
        autoComplete="nickname"
        onChange={(event) => onName(event.target.value)}
      />
    </Field>
  );
}
