package sie.reader;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.UInt4Vector;
import org.apache.arrow.vector.UInt8Vector;
import org.apache.arrow.vector.ValueVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.apache.arrow.vector.dictionary.DictionaryEncoder;
import org.apache.arrow.vector.ipc.ArrowStreamReader;
import org.apache.arrow.vector.types.pojo.DictionaryEncoding;
import org.apache.arrow.vector.util.Text;

/**
 * The rows of one message of weights or samples, whichever layout it has. A row is a map from column to value, in the
 * contract's order: String, Boolean, Integer, Long, BigInteger (hashes have 64 unsigned bits), Double, Float, null, or a List.
 */
public final class Rows {
    static final String LAYOUT = "layout";

    private static final ObjectReader JSON = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS)
            .build()
            .readerFor(LinkedHashMap.class);

    private Rows() {}

    /**
     * Reads one message.
     *
     * @param message the record's value
     * @throws IOException it is no message of rows
     */
    public static List<Map<String, Object>> read(byte[] message, BufferAllocator allocator) throws IOException {
        if (message == null || message.length == 0) {
            throw new IOException("the message is empty");
        }
        if (message[0] == '{') {
            return fromJson(message);
        }
        try (ArrowStreamReader reader = new ArrowStreamReader(new ByteArrayInputStream(message), allocator)) {
            VectorSchemaRoot root = reader.getVectorSchemaRoot();
            List<Map<String, Object>> rows = new ArrayList<>();
            while (reader.loadNextBatch()) {
                String head = root.getSchema().getCustomMetadata().get(LAYOUT);
                rows.addAll(head == null ? plain(root, reader) : Layout2.unpack(root, head));
            }
            return rows;
        } catch (IllegalArgumentException | IndexOutOfBoundsException | IllegalStateException error) {
            throw new IOException("no message of rows: " + error.getMessage(), error);
        }
    }

    /** JSON lines: one object per row. Whole numbers come as BigInteger, for hashes have 64 unsigned bits. */
    private static List<Map<String, Object>> fromJson(byte[] message) throws JsonProcessingException {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (String line : new String(message, StandardCharsets.UTF_8).split("\n")) {
            rows.add(JSON.readValue(line));
        }
        return rows;
    }

    /** Layout 1: the contract's columns as they are. */
    private static List<Map<String, Object>> plain(VectorSchemaRoot root, ArrowStreamReader reader) {
        List<Map<String, Object>> rows = new ArrayList<>();
        for (int at = 0; at < root.getRowCount(); at++) {
            rows.add(new LinkedHashMap<>());
        }
        for (FieldVector column : root.getFieldVectors()) {
            DictionaryEncoding encoding = column.getField().getDictionary();
            if (encoding == null) {
                put(rows, column.getName(), column);
                continue;
            }
            try (var decoded = DictionaryEncoder.decode(column, reader.lookup(encoding.getId()))) {
                put(rows, column.getName(), decoded);
            }
        }
        return rows;
    }

    private static void put(List<Map<String, Object>> rows, String name, ValueVector column) {
        for (int at = 0; at < rows.size(); at++) {
            rows.get(at).put(name, value(column, at));
        }
    }

    private static Object value(ValueVector column, int at) {
        if (column instanceof FixedSizeListVector lists) {
            List<Object> found = new ArrayList<>();
            for (int one = at * lists.getListSize(); one < (at + 1) * lists.getListSize(); one++) {
                found.add(value(lists.getDataVector(), one));
            }
            return found;
        }
        if (column instanceof UInt4Vector numbers) {
            return Integer.toUnsignedLong(numbers.get(at));
        }
        if (column instanceof UInt8Vector hashes) {
            return new BigInteger(Long.toUnsignedString(hashes.get(at)));
        }
        Object found = column.getObject(at);
        if (found instanceof Text text) {
            return text.toString();
        }
        return found instanceof Byte small ? Integer.valueOf(small) : found;
    }
}
