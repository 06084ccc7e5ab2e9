package sie.reader;

import java.io.IOException;
import java.util.Objects;

/** A message that is none of rows of ours, or that says more than a message may: in words what is wrong with it. */
public final class MessageException extends IOException {
    private static final long serialVersionUID = 1;
    private static final int MOST_CHARS = 200;

    MessageException(String why) {
        super(inShort(why));
    }

    MessageException(String why, Exception cause) {
        super(inShort(why + ": " + said(cause)), cause);
    }

    private static String said(Exception cause) {
        return Objects.requireNonNullElse(cause.getMessage(), cause.getClass().getSimpleName());
    }

    static void require(boolean holds, String otherwise) throws MessageException {
        if (!holds) {
            throw new MessageException(otherwise);
        }
    }

    /** One line that is harmless on a terminal: it may quote the message. */
    private static String inShort(String why) {
        String line = why.length() > MOST_CHARS ? why.substring(0, MOST_CHARS) : why;
        return line.replaceAll("[^\\p{L}\\p{M}\\p{N}\\p{P}\\p{S} ]", "?");
    }
}
